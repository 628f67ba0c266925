package login

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// DeviceTTL is how long an account knows a browser after its last sign-in there.
const DeviceTTL = 180 * 24 * time.Hour

const (
	maxKnown      = 4    // accounts that know one browser
	maxDevice     = 2000 // bytes, sealed
	deviceContext = "device/1"
)

// knownAccount is an account that knows a browser, as it is sealed into the browser's device
// cookie. The names are short because it is carried in a cookie.
type knownAccount struct {
	User   identity.UserID `json:"u"`
	Device string          `json:"d"` // names the counter of the browser's own failures
	State  string          `json:"p"` // names the account's state: a new password ends it
	Issued int64           `json:"i"` // Unix milliseconds
}

// knownAccounts returns the accounts that know the browser of a device cookie, the latest first.
func (s *Server) knownAccounts(v Visit) []knownAccount {
	if v.Device == "" || len(v.Device) > maxDevice {
		return nil
	}
	plain, err := s.pending.Open(v.Device, deviceContext)
	if err != nil {
		return nil
	}
	var known []knownAccount
	if err := json.Unmarshal(plain, &known); err != nil {
		return nil
	}
	return slices.DeleteFunc(known, func(a knownAccount) bool {
		return !inTime(v.Now, a.Issued, DeviceTTL)
	})
}

// device returns the name by which an account knows the browser, or "".
func (s *Server) device(ctx context.Context, v Visit, u *identity.User) (string, error) {
	for _, a := range s.knownAccounts(v) {
		if a.User != u.ID {
			continue
		}
		state, err := s.currentState(ctx, u)
		if err != nil || !secret.Equal(a.State, state) {
			return "", err
		}
		return a.Device, nil
	}
	return "", nil
}

// currentState returns the stateMark of an account as it is now.
func (s *Server) currentState(ctx context.Context, u *identity.User) (string, error) {
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil {
		return "", err
	}
	return s.stateMark(&signIn{user: u, factors: confirmedFactors(creds)}), nil
}

// known returns the subject with the counter of the browser itself if its account knows the
// browser. What strangers do elsewhere then neither counts against it nor locks it
// (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
func (s *Server) known(ctx context.Context, v Visit, who subject) (subject, error) {
	if who.user == nil || v.Device == "" {
		return who, nil
	}
	device, err := s.device(ctx, v, who.user)
	if err == nil && device != "" {
		who.key, who.device = deviceKey(who.user.ID, device), true
	}
	return who, err
}

// deviceKey names the counter of a browser's failures at an account. It is below LockKey.
func deviceKey(id identity.UserID, device string) string { return LockKey(id) + ":" + device }

// Remember returns a device cookie by which the account knows the browser from now on. It is called
// when the person has signed in, or has changed what protects the account.
func (s *Server) Remember(ctx context.Context, v Visit, id identity.UserID) (string, error) {
	cookie, _, err := s.remember(ctx, v, id)
	return cookie, err
}

// remember returns a device cookie, and what it says of the account.
func (s *Server) remember(
	ctx context.Context, v Visit, id identity.UserID,
) (string, knownAccount, error) {
	a := knownAccount{User: id, Issued: v.Now.UnixMilli()}
	u, err := s.store.User(ctx, id)
	if err != nil {
		return "", a, err
	}
	if a.State, err = s.currentState(ctx, u); err != nil {
		return "", a, err
	}
	if a.Device, err = s.device(ctx, v, u); err != nil {
		return "", a, err
	}
	if a.Device == "" {
		a.Device = secret.NewID(v.Now)
	}
	known := slices.Insert(s.knownBesides(v, id), 0, a)
	return s.sealKnown(known[:min(len(known), maxKnown)]), a, nil
}

// knownBesides returns the accounts that know the browser, but for one.
func (s *Server) knownBesides(v Visit, id identity.UserID) []knownAccount {
	return slices.DeleteFunc(s.knownAccounts(v), func(k knownAccount) bool { return k.User == id })
}

func (s *Server) sealKnown(known []knownAccount) string {
	plain, err := json.Marshal(known)
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	return s.pending.Seal(plain, deviceContext)
}
