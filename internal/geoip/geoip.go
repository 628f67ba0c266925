// Package geoip finds the places of IP addresses in a database file of MaxMind's format (.mmdb).
package geoip

import (
	"context"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

const (
	maxFile = 512 << 20 // bytes; a database of cities has about 60 MB
	poll    = 10 * time.Second
	maxName = 100 // bytes of a name that is shown
)

// Database is an open file. The file is held in memory: one that is overwritten while it is mapped
// would end the process. It is safe for concurrent use.
type Database struct {
	path   string
	reader atomic.Pointer[maxminddb.Reader]
	loaded version // the version that was read last; only load uses it
}

// version tells one version of a file from another.
type version struct {
	size int64
	time time.Time
}

// Open reads a database file. The error says what to do about it.
func Open(path string) (*Database, error) {
	d := &Database{path: path}
	if _, err := d.load(); err != nil {
		return nil, err
	}
	return d, nil
}

// load reads the file if it is another one than before, and reports whether it was. On an error the
// former content stays.
func (d *Database) load() (bool, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return false, fault.Wrap(fault.Invalid, err, "GEOIP_DATABASE cannot be read")
	}
	now := version{info.Size(), info.ModTime()}
	if now == d.loaded {
		return false, nil
	}
	if now.size > maxFile {
		return false, fault.New(fault.Invalid, "GEOIP_DATABASE %s is larger than %d MiB", d.path, maxFile>>20)
	}
	raw, err := os.ReadFile(d.path)
	if err != nil {
		return false, fault.Wrap(fault.Invalid, err, "GEOIP_DATABASE cannot be read")
	}
	r, err := maxminddb.OpenBytes(raw)
	if err != nil {
		return false, fault.Wrap(fault.Invalid, err,
			"GEOIP_DATABASE %s is not a complete MaxMind database (.mmdb)", d.path)
	}
	d.reader.Store(r)
	d.loaded = now
	return true, nil
}

// Watch reads the file again whenever it has been replaced, until ctx ends. It passes errors to
// report, the same one once.
func (d *Database) Watch(ctx context.Context, report func(error)) {
	d.watch(ctx, poll, report, func() {})
}

func (d *Database) watch(ctx context.Context, every time.Duration, report func(error), onLoad func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		fresh, err := d.load()
		switch {
		case err == nil:
			last = ""
		case err.Error() != last:
			last = err.Error()
			report(err)
		}
		if fresh {
			onLoad()
		}
	}
}

// record is what a city or country database says about a network.
type record struct {
	City       names `maxminddb:"city"`
	Country    area  `maxminddb:"country"`
	Registered area  `maxminddb:"registered_country"`
}

type names struct {
	Names map[string]string `maxminddb:"names"`
}

type area struct {
	Code  string            `maxminddb:"iso_code"`
	Names map[string]string `maxminddb:"names"`
}

// Find returns the place of an address, or the zero Place if the file does not know it.
func (d *Database) Find(ip string) visitor.Place {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return visitor.Place{}
	}
	found := d.reader.Load().Lookup(addr.Unmap().WithZone(""))
	var r record
	if !found.Found() || found.Decode(&r) != nil {
		return visitor.Place{}
	}
	if r.Country.Code == "" && len(r.Country.Names) == 0 {
		r.Country = r.Registered
	}
	return visitor.Place{
		Country:   clip(r.Country.Code),
		Countries: clipped(r.Country.Names),
		Cities:    clipped(r.City.Names),
	}
}

func clipped(all map[string]string) map[string]string {
	for tag, name := range all {
		all[tag] = clip(name)
	}
	return all
}

// clip bounds a name, since it ends up in pages and messages.
func clip(s string) string {
	if len(s) <= maxName {
		return s
	}
	return ""
}
