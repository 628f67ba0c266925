package app

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// What is hashed cannot be hashed anew without the secret itself. So secrets are hashed and sealed
// with a data key, which stays, and SECRET_KEY seals the data key: a change of SECRET_KEY rewraps
// one row. While servers change over there is a row for each SECRET_KEY, so that a server with
// either setting starts. The data key of a database is the SECRET_KEY that it was created with.
const (
	dataKeyPurpose = "data key"
	keyNamePurpose = "name of the key"

	previousEvery = 30 * time.Second // between two looks at which keys the servers have
)

// masterCheck is the row with the keyed hash that belongs to the data key.
const masterCheck = "master_key_check"

// keyName names a SECRET_KEY, and says nothing about it.
func keyName(k *secret.Keys) string {
	return base64.RawURLEncoding.EncodeToString(k.Derive(keyNamePurpose)[:9])
}

// metaReader reads values that concern the whole database.
type metaReader interface {
	Meta(ctx context.Context, name string) (string, error)
	DataKeyNames(ctx context.Context) ([]string, error)
}

// dataKeys returns the keys of the data key, opened with one of the masters: SECRET_KEY, and
// SECRET_KEY_PREVIOUS or nil.
func dataKeys(ctx context.Context, db metaReader, masters ...*secret.Keys) (*secret.Keys, error) {
	for _, k := range masters {
		if k == nil {
			continue
		}
		row, err := db.Meta(ctx, store.DataKeyPrefix+keyName(k))
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		data, err := k.Box(dataKeyPurpose).Open(row, store.DataKeyPrefix)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the data key of this database is damaged; restore a backup")
		}
		return secret.NewKeys(data)
	}
	names, err := db.DataKeyNames(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		return nil, otherMasterKey()
	}
	return legacyKeys(ctx, db, masters)
}

// legacyKeys returns the master key that is the data key of a database of an earlier release, or of
// a new one.
func legacyKeys(ctx context.Context, db metaReader, masters []*secret.Keys) (*secret.Keys, error) {
	check, err := db.Meta(ctx, masterCheck)
	if fault.Is(err, fault.NotFound) {
		return masters[0], nil
	}
	if err != nil {
		return nil, err
	}
	for _, k := range masters {
		if k != nil && secret.Equal(check, checkOf(k)) {
			return k, nil
		}
	}
	return nil, otherMasterKey()
}

func checkOf(k *secret.Keys) string { return string(k.Hash("master key check")) }

func otherMasterKey() error {
	return &fault.Error{
		Kind:   fault.Invalid,
		Reason: reasonOtherKey,
		Text: "SECRET_KEY is not the one that this database was created with, nor one that it was changed to; " +
			"set that one, or while you change it also SECRET_KEY_PREVIOUS " +
			"(beside an SQLite database the key is in the file secret.key)",
	}
}

// findDataKey returns the keys of the data key, and those of SECRET_KEY that belong to the
// database: the ones given, or those of its text as it is, if that opens the database and the ones
// given do not.
func findDataKey(
	ctx context.Context, db metaReader, cfg *config.Config, given *secret.Keys,
) (data, master *secret.Keys, err error) {
	beside, err := otherKeys(cfg)
	if err != nil {
		return nil, nil, err
	}
	data, err = dataKeys(ctx, db, given)
	if fault.Reason(err) != reasonOtherKey {
		return data, given, err
	}
	if beside.text != nil {
		data, err = dataKeys(ctx, db, beside.text)
		if fault.Reason(err) != reasonOtherKey {
			return data, beside.text, err
		}
	}
	data, err = dataKeys(ctx, db, beside.previous, beside.previousText)
	return data, given, err
}

// keysBeside are the keys of the settings besides the bytes of SECRET_KEY, each nil where there is
// none.
type keysBeside struct {
	text                   *secret.Keys // of the characters of SECRET_KEY
	previous, previousText *secret.Keys
}

func otherKeys(cfg *config.Config) (out keysBeside, err error) {
	text, previousText := cfg.KeyTexts()
	for _, k := range []struct {
		raw []byte
		to  **secret.Keys
	}{
		{text, &out.text},
		{cfg.PreviousMasterKey(), &out.previous},
		{previousText, &out.previousText},
	} {
		if k.raw == nil {
			continue
		}
		if *k.to, err = secret.NewKeys(k.raw); err != nil {
			return out, err
		}
	}
	return out, nil
}

// openDataKey replaces the keys of SECRET_KEY by those of the data key, and stores that sealed with
// SECRET_KEY unless it is there.
func (p *parts) openDataKey(ctx context.Context) error {
	keys, master, err := findDataKey(ctx, p.db, p.cfg, p.keys)
	if err != nil {
		return err
	}
	p.master = master
	name := store.DataKeyPrefix + keyName(master)
	sealed := master.Box(dataKeyPurpose).Seal(keys.Master(), store.DataKeyPrefix)
	if _, err := p.db.InitMeta(ctx, name, sealed); err != nil {
		return err
	}
	p.keyName, p.keys = keyName(master), keys
	p.db.UseAuditKey(keys.Derive("audit pages"))
	check, err := p.db.InitMeta(ctx, masterCheck, checkOf(keys))
	if err == nil && !secret.Equal(check, checkOf(keys)) {
		return otherMasterKey()
	}
	return err
}

// watchPrevious reports when SECRET_KEY_PREVIOUS can be removed. Without it, the data key is taken
// from the keys of before, once no server has one of them.
func (s *server) watchPrevious(ctx context.Context) {
	tick := time.NewTicker(previousEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		done, err := s.previousDone(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("cannot look at the keys of the servers; will retry", "error", err)
		}
		if done {
			return
		}
	}
}

func (s *server) previousDone(ctx context.Context) (bool, error) {
	p := s.parts
	if p.cfg.PreviousMasterKey() == nil {
		n, err := p.db.DropDataKeys(ctx, p.keyName)
		if n > 0 {
			s.log.Info("the former SECRET_KEY does not open this database any more")
		}
		return false, err
	}
	all, err := p.db.Servers(ctx)
	if err != nil {
		return false, err
	}
	for _, other := range all {
		if other.Active() && other.KeyID != p.keyName {
			return false, nil
		}
	}
	s.log.Info("SECRET_KEY_PREVIOUS is no longer needed: all servers have the new SECRET_KEY; remove it")
	return true, nil
}

// masterKey returns SECRET_KEY, or in development the key in a file beside the SQLite database, and
// the file's name if it was created now.
func masterKey(cfg *config.Config) (key []byte, made string, err error) {
	if key := cfg.MasterKey(); key != nil {
		return key, "", nil
	}
	path, ok := strings.CutPrefix(string(cfg.Storage.DatabaseURL), "sqlite:")
	if !ok {
		return nil, "", fault.New(fault.Invalid,
			"SECRET_KEY is required; create one with: openssl rand -hex 32")
	}
	if path == ":memory:" {
		return []byte(secret.NewToken("")), "", nil
	}
	return storedKey(keyFile(cfg, path))
}

// keyFile returns the file of the key of an SQLite database, for which SECRET_KEY is not set. Those
// of realms have names of their own: their databases may be in one directory.
func keyFile(cfg *config.Config, database string) string {
	name := "secret.key"
	if cfg.Realm != "" {
		name = "secret-" + cfg.Realm + ".key"
	}
	return filepath.Join(filepath.Dir(database), name)
}

// storedKey returns the content of a key file, which it creates if there is none. Then made is its
// name.
func storedKey(name string) (key []byte, made string, err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, "", err
	}
	raw, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		if err := placeKey(name); err != nil {
			return nil, "", err
		}
		made = name
		raw, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, "", err
	}
	text := strings.TrimSpace(string(raw))
	if len(text) < secret.MinMaster {
		return nil, "", fault.New(fault.Invalid, "the key file %s is damaged: it has fewer than %d characters",
			name, secret.MinMaster)
	}
	return []byte(text), made, nil
}

// placeKey creates a key file completely or not at all: it writes another file and links it to the
// name, unless another process was faster. A crash leaves nothing that the next start would use as
// the key.
func placeKey(name string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".secret-*") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, werr := f.WriteString(secret.NewToken("") + "\n")
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return err
	}
	err = os.Link(f.Name(), name)
	if err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	return os.Rename(f.Name(), name) // a file system without links
}

// reasonOtherKey marks the error of a database that was created with another master key.
const reasonOtherKey = "other_master_key"
