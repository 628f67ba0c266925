package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// passkeyUsers is how many people sign in with passkeys, one after the other on each connection.
const passkeyUsers = 200

// A device is an authenticator with the passkey of one user.
type device struct {
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	cred virtualwebauthn.Credential
	user identity.UserID
}

// passkeySignIn returns the exchanges of a sign-in by passkey: the question, then the answer, which
// creates a session. The answers are signed while the server is measured.
func passkeySignIn(ctx context.Context, st *stage) (plan, error) {
	devices, err := st.makePasskeys(ctx, min(passkeyUsers, st.world.size))
	if err != nil {
		return plan{}, err
	}
	load := driveLoad{workers: func(bool) []worker {
		out := make([]worker, st.connections)
		for i := range out {
			out[i] = &passkeyWorker{devices: devices, at: i * len(devices) / len(out)}
		}
		return out
	}}
	return plan{load: load, noBare: true, ceiling: &ceiling{passkeyFloorName, st.passkeyFloor(devices)}}, nil
}

// makePasskeys adds a passkey to each of so many users of the world.
func (st *stage) makePasskeys(ctx context.Context, n int) (out []*device, err error) {
	origin := "http://" + st.server.public
	rp, err := passkey.New(passkey.Config{Name: "Bench", Origin: origin})
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Options{URL: st.world.url})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	cfg := login.Config{Methods: []string{"password", "passkey"}, Passkeys: rp}
	server := login.New(cfg, db, st.world.keys, secret.NewPasswords(1, 1))
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	for i := range n {
		user, err := db.UserByLogin(ctx, email(i*(st.world.size/n)))
		if err != nil {
			return nil, err
		}
		d := &device{
			rp:   virtualwebauthn.RelyingParty{Name: "Bench", ID: u.Hostname(), Origin: origin},
			auth: virtualwebauthn.NewAuthenticator(),
			cred: virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2),
			user: user.ID,
		}
		for len(d.cred.Key.AttestationData()) != 77 { // it leaves out zeros at the beginning of a number
			d.cred = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		}
		if err := d.enroll(ctx, server, user); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// enroll adds the passkey of a device to a user.
func (d *device) enroll(ctx context.Context, server *login.Server, user *identity.User) error {
	v := login.Visit{Now: time.Now(), IP: address4, Agent: userAgent}
	e, err := server.Enroll(ctx, v, user, "passkey", "")
	if err != nil {
		return err
	}
	o, err := virtualwebauthn.ParseAttestationOptions(e.Options)
	if err != nil {
		return err
	}
	d.auth.Options.UserHandle = []byte(o.UserID)
	_, err = server.ConfirmEnrollment(ctx, v, user, "passkey", url.Values{
		"enrollment": {e.Token},
		"passkey":    {virtualwebauthn.CreateAttestationResponse(d.rp, d.auth, d.cred, *o)},
	})
	return err
}

// passkeyWorker signs people in with their passkeys, one after the other.
type passkeyWorker struct {
	devices  []*device
	at       int
	question struct{ Options, Token string }
	waiting  bool // for the answer to a question
}

func (w *passkeyWorker) next() []byte {
	if !w.waiting {
		return get(pathPasskey, [2]string{"User-Agent", userAgent}).raw()
	}
	d := w.devices[w.at%len(w.devices)]
	o, err := virtualwebauthn.ParseAssertionOptions(w.question.Options)
	if err != nil { // the answer is refused, and counted as failed
		o = &virtualwebauthn.AssertionOptions{}
	}
	r := form(pathPasskey, "", "", "passkey_token", w.question.Token,
		"passkey", virtualwebauthn.CreateAssertionResponse(d.rp, d.auth, d.cred, *o))
	r.Header = append(r.Header, [2]string{"User-Agent", userAgent})
	return r.raw()
}

func (w *passkeyWorker) took(status int, body []byte) (done bool, err error) {
	if !w.waiting {
		if status != http.StatusOK {
			return false, fmt.Errorf("the question was answered %d", status)
		}
		w.waiting = true
		return false, json.Unmarshal(body, &w.question)
	}
	w.waiting = false
	w.at++
	if status != http.StatusSeeOther {
		return false, fmt.Errorf("a sign-in by passkey was answered %d", status)
	}
	return true, nil
}

const passkeyFloorName = "ES256 and SQL"

// passkeyFloor returns the rate at which all cores verify one ES256 signature and run the
// statements of a sign-in by passkey, with nothing in front of the store.
func (st *stage) passkeyFloor(
	devices []*device,
) func(ctx context.Context, d time.Duration) (float64, error) {
	return func(ctx context.Context, d time.Duration) (rate float64, err error) {
		db, err := store.Open(ctx, store.Options{URL: st.world.url})
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return 0, err
		}
		sum := sha256.Sum256([]byte("answer"))
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			return 0, err
		}
		next := make(chan *device, len(devices))
		for _, d := range devices {
			next <- d
		}
		// As many at once as the load has connections: the store commits them together.
		return inParallel(ctx, min(st.connections, len(devices)), d, func() error {
			if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
				return errors.New("the signature does not verify")
			}
			d := <-next
			defer func() { next <- d }()
			return passkeyStatements(ctx, db, d.user)
		})
	}
}

// passkeyStatements runs the statements of one sign-in by passkey.
func passkeyStatements(ctx context.Context, db *store.DB, id identity.UserID) error {
	now := time.Now()
	u, err := db.User(ctx, id)
	if err != nil {
		return err
	}
	creds, err := db.Credentials(ctx, id)
	if err != nil || len(creds) == 0 {
		return errors.Join(err, errors.New("no passkey"))
	}
	cred, err := db.CredentialByLookup(ctx, creds[0].Lookup)
	if err != nil {
		return err
	}
	err = errors.Join(
		db.Once(ctx, secret.NewToken(""), now.Add(time.Hour), now),
		db.UsePasskey(ctx, cred.ID, login.PasskeyUse{Sealed: cred.Sealed, Now: now}),
	)
	if err != nil {
		return err
	}
	if _, err := db.Credentials(ctx, id); err != nil {
		return err
	}
	browser := identity.Browser{IP: address4, Agent: userAgent}
	s := identity.NewSession(id, []string{"user", "hwk", identity.AMRMultiFactor}, now, 24*time.Hour, browser)
	terms := identity.SessionTerms{Proved: &identity.AccountState{PasswordChangedAt: u.PasswordChangedAt}}
	for _, c := range creds {
		terms.Proved.Factors = append(terms.Proved.Factors, c.ID)
	}
	ev := audit.Event{ID: secret.NewID(now), At: now, Type: audit.LoginSucceeded, User: string(id)}
	return db.PutSession(ctx, secret.Hash(secret.NewToken("")), s, terms, ev)
}
