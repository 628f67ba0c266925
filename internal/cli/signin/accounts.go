package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/oauth2"
)

// Account is one person at one provider, as the file keeps it.
type Account struct {
	Issuer     string    `json:"issuer"`
	ClientID   string    `json:"client_id"`
	Subject    string    `json:"sub"`
	Email      string    `json:"email,omitempty"`
	Name       string    `json:"name,omitempty"`
	Resource   string    `json:"resource,omitempty"`
	Scope      string    `json:"scope,omitempty"`
	SignedInAt time.Time `json:"signed_in_at"`
	IDToken    string    `json:"id_token,omitempty"`
	Tokens     Tokens    `json:"tokens"`
}

// Tokens are what the provider issued.
type Tokens struct {
	AccessToken  string    `json:"access_token"`
	TokenType    string    `json:"token_type"`
	ExpiresAt    time.Time `json:"expires_at"` // zero: not said
	RefreshToken string    `json:"refresh_token,omitempty"`
}

// Label returns what a person is called on the screen.
func (a *Account) Label() string {
	switch {
	case a.Email != "":
		return a.Email
	case a.Name != "":
		return a.Name
	}
	return a.Subject
}

// setTokens takes over an answer of the token endpoint. A refresh that brings no new refresh token
// leaves the old one in force (RFC 6749 §6).
func (a *Account) setTokens(t *oauth2.Token) {
	a.Tokens.AccessToken, a.Tokens.TokenType, a.Tokens.ExpiresAt = t.AccessToken, t.Type(), t.Expiry.UTC()
	if t.Expiry.IsZero() {
		a.Tokens.ExpiresAt = time.Time{}
	}
	if t.RefreshToken != "" {
		a.Tokens.RefreshToken = t.RefreshToken
	}
	if scope, ok := t.Extra("scope").(string); ok {
		a.Scope = scope
	}
	if id, ok := t.Extra("id_token").(string); ok && id != "" {
		a.IDToken = id
	}
}

// fresh reports whether the access token stays valid for at least that long.
func (a *Account) fresh(now time.Time, atLeast time.Duration) bool {
	return a.Tokens.ExpiresAt.IsZero() || now.Add(atLeast).Before(a.Tokens.ExpiresAt)
}

// SignedOutError reports that no sign-in at an issuer is stored, or that the provider has ended it.
type SignedOutError struct{ Issuer string }

// Error returns what is wrong, and how to sign in.
func (e *SignedOutError) Error() string {
	if e.Issuer == "" {
		return "you are not signed in; run: gatehouse login ISSUER"
	}
	return "you are not signed in at " + e.Issuer + "; run: gatehouse login " + e.Issuer
}

// File is where the accounts are kept between runs. Only its owner can read it, and it is never
// half written.
type File struct {
	path string
	now  func() time.Time
}

// content is the JSON document in the file.
type content struct {
	Current  string             `json:"current"`  // the issuer of the last sign-in
	Accounts map[string]Account `json:"accounts"` // by issuer
}

// OpenFile returns the file of the person who runs the program: accounts.json in the directory
// gatehouse below their configuration directory, or in dir if it is not "".
func OpenFile(dir string, now func() time.Time) (*File, error) {
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("there is no place for tokens: %w", err)
		}
		dir = filepath.Join(base, "gatehouse")
	}
	return &File{path: filepath.Join(dir, "accounts.json"), now: now}, nil
}

// Path returns where the file is.
func (f *File) Path() string { return f.path }

func (f *File) read() (content, error) {
	c := content{Accounts: map[string]Account{}}
	raw, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.Accounts == nil {
		return c, fmt.Errorf("the file %s is damaged; remove it, and sign in again", f.path)
	}
	return c, nil
}

// write replaces the file: after a crash it has the old content or the new one.
func (f *File) write(c content) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(f.path), "accounts-*") // created with mode 0600
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

// Account returns the account at an issuer, or that of the last sign-in if the issuer is "". It
// returns a SignedOutError if there is none.
func (f *File) Account(issuer string) (*Account, error) {
	c, err := f.read()
	if err != nil {
		return nil, err
	}
	if issuer == "" {
		issuer = c.Current
	}
	a, ok := c.Accounts[issuer]
	if !ok {
		return nil, &SignedOutError{issuer}
	}
	return &a, nil
}

// Accounts returns all accounts that are kept.
func (f *File) Accounts() ([]Account, error) {
	c, err := f.read()
	if err != nil {
		return nil, err
	}
	var all []Account
	for _, a := range c.Accounts {
		all = append(all, a)
	}
	return all, nil
}

// Save stores an account, makes it the current one, and returns the one that it replaces, or nil.
func (f *File) Save(ctx context.Context, a *Account) (replaced *Account, err error) {
	err = f.change(ctx, func(c *content) error {
		if old, ok := c.Accounts[a.Issuer]; ok {
			replaced = &old
		}
		c.Accounts[a.Issuer], c.Current = *a, a.Issuer
		return nil
	})
	return replaced, err
}

// Remove deletes the account at an issuer.
func (f *File) Remove(ctx context.Context, issuer string) error {
	return f.change(ctx, func(c *content) error {
		delete(c.Accounts, issuer)
		if c.Current == issuer {
			c.Current = ""
			for next := range c.Accounts {
				c.Current = next
			}
		}
		return nil
	})
}

// change runs edit on the content while no other process changes it, and stores the result.
func (f *File) change(ctx context.Context, edit func(*content) error) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := f.read()
	if err != nil {
		return err
	}
	if err := edit(&c); err != nil {
		return err
	}
	return f.write(c)
}

// staleLock is the age at which a lock counts as left behind by a process that crashed. What runs
// under a lock is one request to a provider.
const staleLock = requestTimeout + 30*time.Second

// lock excludes other processes until the returned function is called.
func (f *File) lock(ctx context.Context) (unlock func(), err error) {
	path := f.path + ".lock"
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return func() { _ = os.Remove(path) }, file.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && f.now().Sub(info.ModTime()) > staleLock {
			_ = os.Remove(path)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Fresh returns the account at an issuer with an access token that stays valid for at least that
// long, if the provider issues such tokens. It refreshes where needed, one process at a time: a
// refresh token works once, and a second use would end the sign-in.
func (f *File) Fresh(ctx context.Context, issuer string, atLeast time.Duration) (*Account, error) {
	a, err := f.Account(issuer)
	if err != nil || a.fresh(f.now(), atLeast) {
		return a, err
	}
	p, err := Discover(ctx, a.Issuer)
	if err != nil {
		return nil, err
	}
	issuer = a.Issuer
	err = f.change(ctx, func(c *content) error {
		stored, ok := c.Accounts[issuer]
		a = &stored
		switch {
		case !ok:
			return &SignedOutError{issuer}
		case stored.fresh(f.now(), atLeast): // another process has refreshed meanwhile
			return nil
		case stored.Tokens.RefreshToken == "":
			return &SignedOutError{issuer}
		}
		err := p.refresh(ctx, a)
		if err == nil {
			c.Accounts[issuer] = *a
		}
		return err
	})
	if rejected(err, "invalid_grant") { // ended for good
		return nil, errors.Join(&SignedOutError{issuer}, f.Remove(ctx, issuer))
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// refresh replaces the tokens of an account (RFC 6749 §6).
func (p *Provider) refresh(ctx context.Context, a *Account) error {
	ctx, cancel := context.WithTimeout(p.context(ctx), requestTimeout)
	defer cancel()
	c := p.config(a.ClientID, nil)
	t, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: a.Tokens.RefreshToken}).Token()
	if err == nil {
		a.setTokens(t)
	}
	return err
}
