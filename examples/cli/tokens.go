package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// patience bounds a run that waits for servers only. It is shorter than the life of a lock.
const patience = 30 * time.Second

var errSignedOut = errors.New("you are not signed in; run: notes login")

// accessToken gives a live access token. If the one that was kept has expired, it is refreshed.
func (a account) accessToken(ctx context.Context) (string, error) {
	token, err := a.file.read()
	if err != nil {
		return "", err
	}
	if !token.Valid() {
		token, err = a.refresh(ctx)
	}
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

// refresh trades the refresh token for new tokens. A refresh token works once: used a second time it looks stolen, and
// the server ends everything that came of the sign-in. So only one process at a time may refresh, and the successor is
// on the disk before anything is done with the access token that came with it.
func (a account) refresh(ctx context.Context) (*oauth2.Token, error) {
	s, err := a.server(ctx)
	if err != nil {
		return nil, err
	}
	unlock, err := a.file.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	token, err := a.file.read() // again: another process may have refreshed while we waited
	if err != nil || token.Valid() {
		return token, err
	}
	token, err = s.TokenSource(ctx, token).Token()
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" {
		return nil, errors.Join(errSignedOut, a.file.remove()) // it has expired or was revoked, and will not come back
	}
	if err != nil {
		return nil, err
	}
	return token, a.file.write(token)
}

// logout revokes the refresh token, and with it all that came of the sign-in (RFC 7009 §2.1). Deleting the file alone would
// leave whoever has a copy of it signed in.
func (a account) logout(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := a.server(ctx)
	if err != nil {
		return err
	}
	unlock, err := a.file.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	token, err := a.file.read()
	if err != nil {
		return err
	}
	form := url.Values{"client_id": {a.clientID}, "token": {token.RefreshToken}, "token_type_hint": {"refresh_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("nothing was revoked; try again: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("nothing was revoked; the server answered %s", res.Status)
	}
	fmt.Fprintln(os.Stderr, "You are signed out.")
	return a.file.remove()
}

// tokenFile is where the tokens are kept between runs: readable by nobody else, and never half written.
type tokenFile struct{ path string }

func newTokenFile() (tokenFile, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return tokenFile{}, err
	}
	dir = filepath.Join(dir, "gatehouse-notes")
	return tokenFile{filepath.Join(dir, "tokens.json")}, os.MkdirAll(dir, 0o700)
}

func (f tokenFile) read() (*oauth2.Token, error) {
	raw, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errSignedOut
	}
	if err != nil {
		return nil, err
	}
	var token oauth2.Token
	if err := json.Unmarshal(raw, &token); err != nil {
		return nil, fmt.Errorf("%s is damaged; run: notes login", f.path)
	}
	return &token, nil
}

// write replaces the file in one step: a crash leaves the old tokens or the new ones.
func (f tokenFile) write(token *oauth2.Token) error {
	raw, err := json.Marshal(token)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(f.path), "tokens-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // nothing is left to remove once it has been renamed
	_, err = next.Write(raw)
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), f.path)
}

func (f tokenFile) remove() error { return os.Remove(f.path) }

// lock keeps other processes of this program from the file until the returned function is called.
func (f tokenFile) lock(ctx context.Context) (unlock func(), err error) {
	path := f.path + ".lock"
	for {
		held, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return func() { _ = os.Remove(path) }, held.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		// Whoever held it for a minute has crashed.
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(path)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
