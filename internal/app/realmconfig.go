package app

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/realm"
)

// realmsFile reads REALMS_FILE. Without one, there are no realms.
func realmsFile(cfg *config.Config) (*realm.File, error) {
	name := cfg.Server.RealmsFile
	if name == "" {
		return &realm.File{}, nil
	}
	raw, err := readRealmsFile(name)
	if err != nil {
		return nil, err
	}
	f, err := realm.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func readRealmsFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > realm.MaxFile {
		return nil, fault.New(fault.Invalid, "REALMS_FILE names %s, which is larger than %d bytes", name, realm.MaxFile)
	}
	raw, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.Wrap(fault.Invalid, err, "create the first realm with \"gatehouse realm create\"; "+
			"the file that REALMS_FILE names does not exist yet")
	}
	if err != nil {
		return nil, fmt.Errorf("REALMS_FILE cannot be read: %w", err)
	}
	return raw, nil
}

// realmConfig returns the settings of one realm of a server.
func realmConfig(cfg *config.Config, e realm.Entry) (*config.Config, error) {
	src := config.RealmSource{Name: e.Name, File: cfg.Server.RealmsFile}
	for _, v := range e.Values {
		src.Values = append(src.Values, config.RealmValue(v))
	}
	return cfg.ForRealm(src)
}

// realmConfigs returns the settings of all realms of a server, and what finds the realm of a
// request: 0 is the server's own issuer, the others follow in their order. The error lists all
// that is wrong.
func realmConfigs(cfg *config.Config) ([]*config.Config, *realm.Router, error) {
	f, err := realmsFile(cfg)
	if err != nil {
		return nil, nil, err
	}
	return realmConfigsOf(cfg, f)
}

// realmConfigsOf returns the settings of the realms of a file, like realmConfigs.
func realmConfigsOf(cfg *config.Config, f *realm.File) ([]*config.Config, *realm.Router, error) {
	if len(f.Realms) == 0 {
		return nil, nil, nil
	}
	sites := []realm.Site{{BaseURL: cfg.Server.BaseURL, Hosts: f.Hosts}}
	if u, err := url.Parse(cfg.Server.BaseURL); err == nil && slices.Contains(localHosts(), u.Hostname()) {
		sites[0].Hosts = slices.Concat(f.Hosts, localHosts())
	}
	var all []*config.Config
	var problems config.Problems
	for _, e := range f.Realms {
		c, err := realmConfig(cfg, e)
		var found config.Problems
		switch {
		case errors.As(err, &found):
			for _, p := range found {
				if !strings.HasPrefix(p, cfg.Server.RealmsFile) {
					p = fmt.Sprintf("%s: realm %s: %s", cfg.Server.RealmsFile, e.Name, p)
				}
				problems = append(problems, p)
			}
			continue
		case err != nil:
			return nil, nil, err
		}
		all = append(all, c)
		sites = append(sites, realm.Site{Name: e.Name, BaseURL: c.Server.BaseURL, Hosts: e.Hosts})
	}
	if len(problems) > 0 {
		return nil, nil, problems
	}
	if err := checkApart(cfg, all); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", cfg.Server.RealmsFile, err)
	}
	router, err := realm.NewRouter(sites)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", cfg.Server.RealmsFile, err)
	}
	return all, router, nil
}

// localHosts returns the hosts that name this machine: who uses one for the server uses the others.
func localHosts() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// checkApart returns an error if two issuers of a process have the same database or the same key:
// the key of one would open the sealed values of the other.
func checkApart(cfg *config.Config, realms []*config.Config) error {
	all := append([]*config.Config{cfg}, realms...)
	for i, c := range all {
		for _, other := range all[:i] {
			if sameDatabase(c, other) {
				return fault.New(fault.Conflict, "the realm %s has the database of %s; give each its own database_url",
					c.Realm, issuerTitle(other))
			}
			if key := c.MasterKey(); key != nil && (bytes.Equal(key, other.MasterKey()) ||
				bytes.Equal(key, other.PreviousMasterKey())) {
				return fault.New(fault.Conflict, "the realm %s has the SECRET_KEY of %s; make one for each with "+
					"`openssl rand -hex 32`", c.Realm, issuerTitle(other))
			}
		}
	}
	return nil
}

func issuerTitle(c *config.Config) string {
	if c.Realm == "" {
		return "the server's own issuer"
	}
	return "the realm " + c.Realm
}

func sameDatabase(a, b *config.Config) bool {
	one, other := sqliteFile(a), sqliteFile(b)
	if one == "" || other == "" {
		return one == other && a.Storage.DatabaseURL == b.Storage.DatabaseURL &&
			a.Storage.DatabaseURL != "sqlite::memory:"
	}
	if cleaned(one) == cleaned(other) {
		return true
	}
	x, err := os.Stat(one)
	if err != nil {
		return false
	}
	y, err := os.Stat(other)
	return err == nil && os.SameFile(x, y)
}

func cleaned(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	return abs
}
