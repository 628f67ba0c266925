package secret_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func TestPasswordRoundTrip(t *testing.T) {
	p := secret.NewPasswords(2, 2)
	hash, err := p.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	// OWASP Password Storage Cheat Sheet.
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1,form=nfc$") || p.Outdated(hash) {
		t.Fatalf("%s", hash)
	}
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false, "correct horse ": false} {
		if got, err := p.Verify(t.Context(), password, hash); err != nil || got != want {
			t.Errorf("%q: %v %v", password, got, err)
		}
	}
	again, err := p.Hash(t.Context(), "correct horse")
	if err != nil || again == hash {
		t.Fatal("no salt")
	}
}

// Hashes of earlier releases were made of NFKC. They open until they are made anew; from then on
// characters of another width are other characters.
func TestFormsOfPasswords(t *testing.T) {
	p := secret.NewPasswords(1, 1)
	hash := func(typed string) string {
		h, err := p.Hash(t.Context(), typed)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	// What NFKC leaves as it is has the same hash in both forms.
	former := func(nfkc string) string { return strings.Replace(hash(nfkc), ",form=nfc", "", 1) }
	for _, tt := range []struct {
		stored, typed string
		ok            bool
	}{
		{hash("Caf\u00e9 A1"), "Cafe\u0301\u3000A1", true},
		{hash("Caf\u00e9 A1"), "Caf\u00e9 \uff21\uff11", false},
		{hash("\uff21\uff11"), "A1", false},
		{hash("\uff21\uff11"), "\uff21\uff11", true},
		{former("Caf\u00e9 A1"), "Caf\u00e9 A1", true},
		{former("Caf\u00e9 A1"), "Cafe\u0301 \uff21\uff11", true},
		{former("Caf\u00e9 A1"), "Cafe A1", false},
		{former("Caf\u00e9 A1"), "Cafe \uff21\uff11", false},
		{"", "\uff21\uff11", false},
	} {
		if ok, err := p.Verify(t.Context(), tt.typed, tt.stored); err != nil || ok != tt.ok {
			t.Errorf("%q against %.50s: %v %v", tt.typed, tt.stored, ok, err)
		}
	}
	if h := former("x"); !p.Outdated(h) {
		t.Errorf("%s counts as today's", h)
	}
}

// A wrong password takes as long whether the account is unknown, or its hash is of this form or of
// the former: how many hashes are made depends on what was typed.
func TestWrongPasswordsTakeTheSameWork(t *testing.T) {
	p := secret.NewPasswords(1, 1)
	now, err := p.Hash(t.Context(), "Caf\u00e9")
	if err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{"x", "\uff21"} {
		counts := map[uint64]bool{}
		for _, stored := range []string{"", now, strings.Replace(now, ",form=nfc", "", 1)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if ok, err := p.Verify(t.Context(), typed, stored); ok || err != nil {
				t.Fatal(ok, err)
			}
			runtime.ReadMemStats(&after)
			counts[(after.TotalAlloc-before.TotalAlloc)>>20/19] = true // each hash takes 19 MiB
		}
		if len(counts) != 1 {
			t.Errorf("%q: %v", typed, counts)
		}
	}
}

// Vectors of the reference implementation (phc-winner-argon2, test.c): what others made, we verify,
// and ask to make anew.
func TestArgon2Vectors(t *testing.T) {
	p := secret.NewPasswords(1, 1)
	for _, hash := range []string{
		"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
	} {
		if ok, err := p.Verify(t.Context(), "password", hash); err != nil || !ok {
			t.Errorf("%s: %v %v", hash, ok, err)
		}
		if !p.Outdated(hash) {
			t.Errorf("%s counts as today's", hash)
		}
	}
}

// An unknown user is checked against nothing, at the same cost, and never let in.
func TestVerifyNobody(t *testing.T) {
	p := secret.NewPasswords(1, 1)
	for _, password := range []string{"", "x"} {
		if ok, err := p.Verify(t.Context(), password, ""); ok || err != nil {
			t.Errorf("%q: %v %v", password, ok, err)
		}
	}
}

// A stored hash cannot make us work without a bound.
func TestHostileHashes(t *testing.T) {
	p := secret.NewPasswords(1, 1)
	const salt, key = "c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	hash := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + key }
	for _, h := range []string{
		hash("m=4294967295,t=1,p=1"), hash("m=262145,t=1,p=1"), hash("m=7,t=1,p=1"), hash("m=0,t=1,p=1"), hash("m=-1,t=1,p=1"),
		hash("m=256,t=17,p=1"), hash("m=256,t=0,p=1"), hash("m=256,t=1,p=0"), hash("m=256,t=1,p=9"), hash("m=256,t=1,p=256"), hash("m=256,t=1,p=257"),
		hash("m=99999999999999999999,t=1,p=1"), hash("t=1,m=256,p=1"), hash("m=256,t=1"), hash(""),
		"$argon2i$v=19$m=256,t=2,p=1$" + salt + "$" + key, "$argon2id$v=16$m=256,t=2,p=1$" + salt + "$" + key, "$argon2id$m=256,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=256,t=2,p=1$!$" + key, "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$", "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$AAAA",
		"$argon2id$v=19$m=256,t=2,p=1$" + strings.Repeat("A", 1000) + "$" + key, "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + strings.Repeat("A", 1000),
		"$2a$10$x", "plain", "$", "$$$$$", strings.Repeat("$", 1000),
	} {
		if ok, err := p.Verify(t.Context(), "password", h); ok || !fault.Is(err, fault.Invalid) {
			t.Errorf("%.60s: %v %v", h, ok, err)
		}
		if !p.Outdated(h) {
			t.Errorf("%.60s counts as today's", h)
		}
	}
}

// Under a flood at most as many hashes run as the pool is wide, a few wait, and the rest are told
// when to come back.
func TestFlood(t *testing.T) {
	const wide, queue, callers = 2, 3, 40
	p := secret.NewPasswords(wide, queue)
	var served, sent atomic.Int32
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range callers {
		wg.Go(func() {
			<-start
			_, err := p.Hash(context.Background(), "x")
			switch {
			case err == nil:
				served.Add(1)
			case fault.Is(err, fault.Unavailable):
				sent.Add(1)
				var f *fault.Error
				if !errors.As(err, &f) || f.After <= 0 {
					t.Error("no time to come back")
				}
			default:
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	if served.Load() < wide+queue || served.Load()+sent.Load() != callers {
		t.Fatalf("%d served, %d sent away", served.Load(), sent.Load())
	}
	if sent.Load() == 0 {
		t.Fatal("nobody was sent away")
	}
	if _, err := p.Hash(t.Context(), "x"); err != nil { // and then all is well again
		t.Fatal(err)
	}
}

// Who goes away while waiting leaves the place in the line.
func TestGivingUp(t *testing.T) {
	p := secret.NewPasswords(1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if _, err := p.Verify(ctx, "x", ""); err != nil && !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
	}
	if _, err := p.Verify(t.Context(), "x", ""); err != nil {
		t.Fatalf("places were lost: %v", err)
	}
}

func FuzzVerifyStored(f *testing.F) {
	p := secret.NewPasswords(1, 1)
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add(fmt.Sprintf("$argon2id$v=19$m=%d,t=1,p=1$AA$AA", 1<<40))
	f.Fuzz(func(t *testing.T, stored string) {
		if stored == "" || strings.Contains(stored, "m=1") || strings.Contains(stored, "m=2") { // bounded, but slow to fuzz
			return
		}
		if ok, err := p.Verify(context.Background(), "password", stored); ok && err != nil {
			t.Fatal(err)
		}
	})
}
