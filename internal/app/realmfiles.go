package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/realm"
)

// loadRealmConfig reads the settings of the server, and returns those of one of its realms unless
// the name is "".
func loadRealmConfig(e *env, flags map[string]string, file, name string) (*config.Config, error) {
	cfg, err := loadConfig(e, flags, file)
	if err != nil || name == "" {
		return cfg, err
	}
	for flag := range flags {
		for _, s := range config.Settings() {
			if s.Flag() == flag && config.OfRealm(s.Name) {
				return nil, fault.New(fault.Invalid, "--%s is not the realm's; set %s in REALMS_FILE", flag, s.Key())
			}
		}
	}
	if cfg.Server.RealmsFile == "" {
		return nil, noRealmsFile()
	}
	all, _, err := realmConfigs(cfg)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.Realm == name {
			return c, nil
		}
	}
	f := realm.File{}
	_, err = f.Entry(name)
	return nil, err
}

func noRealmsFile() error {
	return fault.New(fault.Invalid, "there are no realms: set REALMS_FILE to the file that describes them")
}

// realmFiles returns what the command line does with REALMS_FILE.
func realmFiles() cli.Realms {
	return cli.Realms{
		Configs: func(cfg *config.Config) ([]*config.Config, error) {
			all, _, err := realmConfigs(cfg)
			return all, err
		},
		Create: createRealm,
		Delete: deleteRealm,
	}
}

// changeRealms calls change while no other process changes REALMS_FILE: each replaces the whole
// file, and of two that had read the same one, the first would lose its change.
func changeRealms(
	cfg *config.Config, change func() (*config.Config, error),
) (_ *config.Config, err error) {
	if cfg.Server.RealmsFile == "" {
		return nil, noRealmsFile()
	}
	lock, err := lockFolder(filepath.Dir(realmsPath(cfg)))
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), err, "REALMS_FILE cannot be locked")
	}
	defer lock.Close()
	return change()
}

// realmsPath returns where REALMS_FILE is: a link to it stays one when the file is replaced.
func realmsPath(cfg *config.Config) string {
	if real, err := filepath.EvalSymlinks(cfg.Server.RealmsFile); err == nil {
		return real
	}
	return cfg.Server.RealmsFile
}

// createRealm adds a realm to REALMS_FILE, which it creates if it does not exist, and makes the
// file of the realm's key. A file that would not be valid stays as it was.
func createRealm(cfg *config.Config, r cli.NewRealm) (*config.Config, error) {
	if err := realm.CheckName(r.Name); err != nil {
		return nil, err
	}
	return changeRealms(cfg, func() (*config.Config, error) { return addRealm(cfg, r) })
}

// addRealm adds a realm to REALMS_FILE, which the caller has locked.
func addRealm(cfg *config.Config, r cli.NewRealm) (*config.Config, error) {
	name := cfg.Server.RealmsFile
	raw, err := readRealmsFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	values := []realm.Value{{Key: "base_url", Text: r.BaseURL}}
	if r.Database != "" {
		values = append(values, realm.Value{Key: "database_url", Text: r.Database})
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	key := filepath.Join(dir, "realms", r.Name, "secret.key")
	values = append(values, realm.Value{Key: "secret_key_file", Text: key})
	next, err := realm.Add(raw, r.Name, values)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := os.Lstat(key); err == nil && !r.Reuse {
		return nil, fault.New(fault.Conflict, "there was a realm %s before: its key is in %s. Use --reuse to continue "+
			"with its key and its database, or remove both first", r.Name, key)
	}
	_, made, err := storedKey(key)
	if err != nil {
		return nil, err
	}
	c, err := replaceRealms(cfg, next, r.Name)
	if err != nil && made != "" {
		err = errors.Join(err, os.Remove(made))
	}
	return c, err
}

// deleteRealm removes a realm from REALMS_FILE. Its database and its key stay.
func deleteRealm(cfg *config.Config, name string) (*config.Config, error) {
	return changeRealms(cfg, func() (*config.Config, error) { return removeRealm(cfg, name) })
}

// removeRealm removes a realm from REALMS_FILE, which the caller has locked.
func removeRealm(cfg *config.Config, name string) (*config.Config, error) {
	raw, err := readRealmsFile(cfg.Server.RealmsFile)
	if err != nil {
		return nil, err
	}
	next, err := realm.Remove(raw, name)
	if err != nil {
		return nil, err
	}
	all, _, err := realmConfigs(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := replaceRealms(cfg, next, ""); err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.Realm == name {
			return c, nil
		}
	}
	return nil, fault.New(fault.NotFound, "the realm %s has gone meanwhile", name)
}

// replaceRealms replaces REALMS_FILE by another content if that is valid, all at once, and returns
// the settings of one of its realms.
func replaceRealms(cfg *config.Config, raw []byte, name string) (found *config.Config, err error) {
	file, err := realm.Parse(raw)
	if err != nil {
		return nil, err
	}
	all, _, err := realmConfigsOf(cfg, file)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.Realm == name {
			found = c
		}
	}
	return found, replaceFile(realmsPath(cfg), raw)
}

// replaceFile writes a file completely or not at all. It keeps the mode and the owner of the one
// that was there.
func replaceFile(name string, raw []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".realms-*") // its mode is 0600
	if err != nil {
		return err
	}
	if info, serr := os.Stat(name); serr == nil {
		keepOwner(f, info)
		err = f.Chmod(info.Mode().Perm())
	}
	_, werr := f.Write(raw)
	err = errors.Join(err, werr, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
