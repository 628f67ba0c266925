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

// requestTimeout bounds a run that waits only for servers. It is shorter than the age at which a
// lock counts as abandoned.
const requestTimeout = 30 * time.Second

var errSignedOut = errors.New("you are not signed in; run: notes login")

// accessToken returns a valid access token. If the stored one has expired, it refreshes it.
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

// refresh exchanges the refresh token for new tokens. A refresh token works once: if it is used a
// second time, it may have been stolen, and the server revokes all tokens of the sign-in. So only
// one process at a time may refresh, and the successor is on disk before the new access token is
// used.
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
	token, err := a.file.read() // again: another process may have refreshed meanwhile
	if err != nil || token.Valid() {
		return token, err
	}
	token, err = s.TokenSource(ctx, token).Token()
	var rejected *oauth2.RetrieveError
	if errors.As(err, &rejected) && rejected.ErrorCode == "invalid_grant" {
		return nil, errors.Join(errSignedOut, a.file.remove()) // expired or revoked, for good
	}
	if err != nil {
		return nil, err
	}
	return token, a.file.write(token)
}

// logout revokes the refresh token, and with it all tokens of the sign-in (RFC 7009 §2.1). If it
// only deleted the file, a copy of the file would still work.
func (a account) logout(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
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
	form := url.Values{
		"client_id":       {a.clientID},
		"token":           {token.RefreshToken},
		"token_type_hint": {"refresh_token"},
	}
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
		return fmt.Errorf("nothing was revoked; the server returned %s", res.Status)
	}
	fmt.Fprintln(os.Stderr, "You are signed out.")
	return a.file.remove()
}

// tokenFile stores the tokens between runs. Only its owner can read it, and it is never half
// written.
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

// write replaces the file atomically: after a crash it has the old tokens or the new ones.
func (f tokenFile) write(token *oauth2.Token) error {
	raw, err := json.Marshal(token)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(f.path), "tokens-*") // created with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // has no effect after the rename
	_, err = next.Write(raw)
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), f.path)
}

func (f tokenFile) remove() error { return os.Remove(f.path) }

// lock excludes other processes of this program until the returned function is called.
func (f tokenFile) lock(ctx context.Context) (unlock func(), err error) {
	path := f.path + ".lock"
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return func() { _ = os.Remove(path) }, file.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		// A process that has had the lock for a minute has crashed.
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
