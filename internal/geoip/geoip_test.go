package geoip

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// write makes a database of cities in which one network is in a city.
func write(t *testing.T, path, network, city string) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", IncludeReservedNetworks: true})
	testkit.Must(t, err)
	_, n, err := net.ParseCIDR(network)
	testkit.Must(t, err)
	testkit.Must(t, tree.Insert(n, mmdbtype.Map{
		"city":    mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(city), "de": mmdbtype.String(city + " (de)")}},
		"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE"), "names": mmdbtype.Map{"en": mmdbtype.String("Germany"), "de": mmdbtype.String("Deutschland")}},
	}))
	_, six, err := net.ParseCIDR("2001:db8::/32")
	testkit.Must(t, err)
	testkit.Must(t, tree.Insert(six, mmdbtype.Map{
		"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("JP"), "names": mmdbtype.Map{"en": mmdbtype.String(strings.Repeat("J", 200))}},
	}))
	f, err := os.Create(path + ".new")
	testkit.Must(t, err)
	_, err = tree.WriteTo(f)
	testkit.Must(t, err)
	testkit.Must(t, f.Close())
	testkit.Must(t, os.Rename(path+".new", path))
}

func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places.mmdb")
	write(t, path, "192.0.2.0/24", "Cologne")
	d, err := Open(path)
	testkit.Must(t, err)
	for _, ip := range []string{"192.0.2.7", "::ffff:192.0.2.7"} {
		p := d.Find(ip)
		city, country := p.In("de-AT")
		testkit.Equal(t, ip+" city", city, "Cologne (de)")
		testkit.Equal(t, ip+" country", country, "Deutschland")
		testkit.Equal(t, ip+" code", p.Country, "DE")
	}
	p := d.Find("2001:db8::1%eth0")
	_, country := p.In("en")
	testkit.Equal(t, "registered country, whose name is too long", country, "JP")
	for _, ip := range []string{"", "x", "198.51.100.1", "10.0.0.1"} {
		if d.Find(ip).Known() {
			t.Errorf("%q has a place", ip)
		}
	}
}

// A file that is missing, cut or something else stops the start, and says so.
func TestOpenRejects(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	write(t, whole, "192.0.2.0/24", "Cologne")
	raw, err := os.ReadFile(whole)
	testkit.Must(t, err)
	for name, content := range map[string][]byte{"empty": nil, "text": []byte("hello"), "cut": raw[:len(raw)/2]} {
		path := filepath.Join(dir, name)
		testkit.Must(t, os.WriteFile(path, content, 0o600))
		_, err := Open(path)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "GEOIP_DATABASE") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = Open(filepath.Join(dir, "missing"))
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "GEOIP_DATABASE cannot be read") {
		t.Errorf("%v", err)
	}
}

// A replaced file is read again. With a broken one, the former content stays, and the error is
// reported once.
func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places.mmdb")
	write(t, path, "192.0.2.0/24", "Cologne")
	d, err := Open(path)
	testkit.Must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs, loads := make(chan error, 100), make(chan bool, 100)
	go d.watch(ctx, time.Millisecond, func(err error) { errs <- err }, func() { loads <- true })

	write(t, path, "192.0.2.0/24", "Trier an der Mosel")
	<-loads
	city, _ := d.Find("192.0.2.7").In("en")
	testkit.Equal(t, "city", city, "Trier an der Mosel")

	testkit.Must(t, os.WriteFile(path, []byte("broken"), 0o600))
	if err := <-errs; !strings.Contains(err.Error(), "not a complete") {
		t.Errorf("%v", err)
	}
	city, _ = d.Find("192.0.2.7").In("en")
	testkit.Equal(t, "city", city, "Trier an der Mosel")
	write(t, path, "192.0.2.0/24", "Bonn")
	<-loads
	testkit.Equal(t, "the same error is reported once", len(errs), 0)
}
