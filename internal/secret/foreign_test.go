package secret_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func decoded(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// foreignVectors returns stored hashes with their passwords, from the publications of those who
// made the programs.
func foreignVectors(t *testing.T) map[string][2]string {
	t.Helper()
	firebase, err := secret.FirebaseHash{ // github.com/firebase/scrypt, README
		Rounds:    8,
		MemCost:   14,
		Salt:      decoded(t, "42xEC+ixf3L2lw=="),
		Separator: decoded(t, "Bw=="),
		SignerKey: decoded(t, "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="),
		Key:       decoded(t, "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="),
	}.Stored()
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString("c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a")
	if err != nil {
		t.Fatal(err)
	}
	pbkdf2, err := secret.PBKDF2Hash{Digest: "sha256", Iterations: 4096, Salt: []byte("salt"), Key: key}.Stored()
	if err != nil {
		t.Fatal(err)
	}
	key, err = hex.DecodeString("4b007901b765489abead49d926f721d065a429c1") // RFC 6070
	if err != nil {
		t.Fatal(err)
	}
	sha1, err := secret.PBKDF2Hash{Digest: "sha1", Iterations: 4096, Salt: []byte("salt"), Key: key}.Stored()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][2]string{
		"firebase":      {firebase, "user1password"},
		"pbkdf2 sha256": {pbkdf2, "password"},
		"pbkdf2 sha1":   {sha1, "password"},
		"bcrypt 2a":     {"$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"},
		"bcrypt 2y":     {"$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "\xff\xff\xa3"},
		"bcrypt 2b":     {"$2b$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"},
	}
}

// Hashes of other programs are verified, reject other passwords, and are to be replaced.
func TestForeignHashes(t *testing.T) {
	p := secret.NewPasswords(2, 2)
	for name, v := range foreignVectors(t) {
		t.Run(name, func(t *testing.T) {
			if ok, err := p.Verify(t.Context(), v[1], v[0]); !ok || err != nil {
				t.Errorf("the password is rejected: %v", err)
			}
			if ok, err := p.Verify(t.Context(), v[1]+"x", v[0]); ok || err != nil {
				t.Errorf("another password: %v, %v", ok, err)
			}
			if !p.Outdated(v[0]) {
				t.Error("the hash is not to be replaced")
			}
		})
	}
}

// A hash whose check would take long or much memory, or that cannot be read, is rejected before it
// is stored.
func TestForeignHashesAreBounded(t *testing.T) {
	key, salt := strings.Repeat("A", 43), "c2FsdA"
	for name, stored := range map[string]string{
		"bcrypt, cost 31":        "$2a$31$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
		"bcrypt, cost 16":        "$2a$16$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
		"bcrypt, cut":            "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVf",
		"bcrypt, with a tail":    "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxeA",
		"bcrypt, another minor":  "$2x$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
		"pbkdf2, many rounds":    "$pbkdf2-sha256$i=2000000000$" + salt + "$" + key,
		"pbkdf2, no round":       "$pbkdf2-sha256$i=0$" + salt + "$" + key,
		"pbkdf2, negative":       "$pbkdf2-sha256$i=-1$" + salt + "$" + key,
		"pbkdf2, another digest": "$pbkdf2-md5$i=1000$" + salt + "$" + key,
		"pbkdf2, short key":      "$pbkdf2-sha256$i=1000$" + salt + "$AAAA",
		"scrypt, N=2^25":         "$scrypt$ln=25,r=8,p=1$" + salt + "$" + key,
		"scrypt, memory":         "$scrypt$ln=17,r=64,p=1$" + salt + "$" + key,
		"scrypt, lanes":          "$scrypt$ln=14,r=8,p=64$" + salt + "$" + key,
		"scrypt, r=0":            "$scrypt$ln=14,r=0,p=1$" + salt + "$" + key,
		"scrypt, negative":       "$scrypt$ln=-1,r=8,p=1$" + salt + "$" + key,
		"firebase, N=2^25":       "$firebase-scrypt$ln=25,r=8,p=1$" + salt + "$Bw$" + key + "$" + key,
		"firebase, no signer":    "$firebase-scrypt$ln=14,r=8,p=1$" + salt + "$Bw$$" + key,
		"argon2, 4 GiB":          "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + key,
		"argon2, many passes":    "$argon2id$v=19$m=19456,t=1000,p=1$" + salt + "$" + key,
		"argon2i":                "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + key,
		"md5":                    "$1$abc$def",
		"plain text":             "hunter2",
		"empty":                  "",
	} {
		if err := secret.CheckHash(stored); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
