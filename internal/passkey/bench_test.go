package passkey_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// BenchmarkSignIn compares a sign-in by passkey with the least that it can cost: verifying
// one ES256 signature, and the statements of a sign-in. The sign-in should reach half of that.
func BenchmarkSignIn(b *testing.B) {
	var sess *identity.Session
	s, d := newSite(b), newDevice()
	s.mustAdd(s.ada, d)
	b.Run("passkey", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			o := s.open()
			in := url.Values{"passkey": {d.answer(b, o.Challenge.Options)}}
			b.StartTimer()
			st, err := s.login.SignIn(b.Context(), s.visit(), login.Attempt{Kind: "passkey", Token: o.Token, Input: in})
			testkit.Must(b, err)
			sess = st.Done.Session
		}
	})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Must(b, err)
	sum := sha256.Sum256([]byte("answer"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	testkit.Must(b, err)
	b.Run("floor", func(b *testing.B) {
		for range b.N {
			if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
				b.Fatal("the signature does not verify")
			}
			floor(b, s, d, sess)
		}
	})
}

// floor runs the statements of one sign-in by passkey.
func floor(b *testing.B, s *site, d *device, like *identity.Session) {
	b.Helper()
	ctx := b.Context()
	cred, err := s.db.CredentialByLookup(ctx, s.keys.Hash("passkey:"+base64.RawURLEncoding.EncodeToString(d.cred.ID)))
	testkit.Must(b, err)
	testkit.Must(b, s.db.Once(ctx, secret.NewToken(""), s.now.Add(time.Hour), s.now))
	testkit.Must(b, s.db.UsePasskey(ctx, cred.ID, login.PasskeyUse{Sealed: cred.Sealed, Now: s.now}))
	for range 2 {
		_, err = s.db.User(ctx, cred.User)
		testkit.Must(b, err)
		_, err = s.db.Credentials(ctx, cred.User)
		testkit.Must(b, err)
	}
	sess := *like
	sess.ID = identity.SessionID(secret.NewID(s.now))
	ev := audit.Event{ID: secret.NewID(s.now), At: s.now, Type: audit.LoginSucceeded, User: string(cred.User)}
	terms := identity.SessionTerms{Proved: &identity.AccountState{
		PasswordChangedAt: s.ada.PasswordChangedAt, Factors: []identity.CredentialID{cred.ID},
	}}
	h := secret.Hash(strings.Repeat("h", 8) + string(sess.ID))
	testkit.Must(b, s.db.PutSession(context.WithoutCancel(ctx), h, &sess, terms, ev))
}
