package netaddr

import (
	"errors"
	"net/netip"
	"testing"
)

func TestParsePrefix(t *testing.T) {
	for _, c := range []struct{ in, want, problem string }{
		{"10.0.0.0/8", "10.0.0.0/8", ""},
		{"192.0.2.7", "192.0.2.7/32", ""},
		{"::ffff:192.0.2.7", "192.0.2.7/32", ""},
		{"2001:db8::/32", "2001:db8::/32", ""},
		{"2001:db8::1", "2001:db8::1/128", ""},
		{"0.0.0.0/0", "0.0.0.0/0", ""},
		{"", "", "is not an address"},
		{"example.com", "", "is not an address"},
		{"fe80::1%eth0", "", "is not an address"},
		{"10.0.0.0/33", "", "is not a network"},
		{"10.0.0/8", "", "is not a network"},
		{"fe80::%eth0/64", "", "is not a network"},
		{"::ffff:10.0.0.0/104", "", "is an IPv4 network written as IPv6; write it as IPv4"},
		{"10.1.0.0/8", "", "has bits set beyond its length; did you mean 10.0.0.0/8?"},
	} {
		p, err := ParsePrefix(c.in)
		switch {
		case c.problem != "" && (err == nil || err.Error() != c.problem):
			t.Errorf("ParsePrefix(%q): %v, %v; want the error %q", c.in, p, err, c.problem)
		case c.problem == "" && (err != nil || p.String() != c.want):
			t.Errorf("ParsePrefix(%q): %v, %v; want %s", c.in, p, err, c.want)
		}
	}
}

func TestParseList(t *testing.T) {
	list, err := ParseList([]string{"10.0.0.0/8", "::1"})
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	var le *ListError
	_, err = ParseList([]string{"10.0.0.0/8", "10.0.0.0/99"})
	if !errors.As(err, &le) || le.Index != 1 || le.Word != "10.0.0.0/99" {
		t.Fatalf("%v; want a ListError of the second word", err)
	}
	if got := le.Error(); got != `"10.0.0.0/99" is not a network` {
		t.Error(got)
	}
}

func TestContains(t *testing.T) {
	list, err := ParseList([]string{"10.0.0.0/8", "2001:db8::/32", "fe80::/10"})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]bool{
		"10.9.9.9": true, "::ffff:10.9.9.9": true, "2001:db8::7": true, "fe80::1%eth0": true,
		"11.0.0.1": false, "2001:db9::1": false, "::10.0.0.1": false,
	} {
		if got := Contains(list, netip.MustParseAddr(in)); got != want {
			t.Errorf("Contains(%s) = %v", in, got)
		}
	}
	if Contains(list, netip.Addr{}) || Contains(nil, netip.MustParseAddr("10.0.0.1")) {
		t.Error("the zero address or an empty list matches")
	}
}

func TestKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64",
	} {
		if got := Key(netip.MustParseAddr(in)); got != want {
			t.Errorf("Key(%s) = %q; want %q", in, got, want)
		}
	}
	if Key(netip.Addr{}) != "" {
		t.Error("the zero address has a key")
	}
}

func TestIsLoopback(t *testing.T) {
	for in, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true,
		"::ffff:127.0.0.1": true, "localhost.example": false, "app.localhost": false, "10.0.0.1": false,
		"": false, "127.0.0.1.example": false, "[::1]": false, "127.1": false,
	} {
		if got := IsLoopback(in); got != want {
			t.Errorf("IsLoopback(%q) = %v", in, got)
		}
	}
}

func TestParseForwarded(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7":              "203.0.113.7",
		"203.0.113.7:4711":         "203.0.113.7",
		`"203.0.113.7:4711"`:       "203.0.113.7",
		"203.0.113.7:_hidden":      "203.0.113.7",
		"2001:db8::7":              "2001:db8::7",
		"[2001:db8::7]":            "2001:db8::7",
		"[2001:db8::7]:443":        "2001:db8::7",
		`"[2001:db8::7]:443"`:      "2001:db8::7",
		`"[2001:db8::7]"`:          "2001:db8::7",
		"::ffff:203.0.113.7":       "203.0.113.7",
		"[::ffff:203.0.113.7]:443": "203.0.113.7",
		"fe80::1%eth0":             "fe80::1",
		"":                         "",
		`""`:                       "",
		`"`:                        "",
		"-":                        "",
		"unknown":                  "",
		"_hidden":                  "",
		"for=203.0.113.7":          "",
		"proxy.example:80":         "",
		"203.0.113.7:":             "",
		"203.0.113.7:x":            "",
		"203.0.113.7:65536":        "",
		"203.0.113.7:_":            "",
		"203.0.113.7 4711":         "",
		"[203.0.113.7]:80":         "",
		"[2001:db8::7":             "",
		"[2001:db8::7]443":         "",
		"[2001:db8::7]:":           "",
		"[2001:db8::7]:443x":       "",
		`"203.0.113.7`:             "",
		"203.0.113.007":            "",
		"[]":                       "",
	} {
		a, err := ParseForwarded(in)
		if got := a.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("ParseForwarded(%q): %v, %v; want %q", in, a, err, want)
		}
	}
}

func TestForwardedValue(t *testing.T) {
	for element, want := range map[string][3]string{ // for, proto, host
		"for=192.0.2.60;proto=http;by=203.0.113.43": {"192.0.2.60", "http", ""},
		`For="[2001:db8:cafe::17]:4711"`:            {"[2001:db8:cafe::17]:4711", "", ""},
		` FOR = 192.0.2.60 ; Proto = https `:        {"192.0.2.60", "https", ""},
		`for="192.0.2.60:80";host="a.example:8443"`: {"192.0.2.60:80", "", "a.example:8443"},
		"for=_hidden;proto=https":                   {"_hidden", "https", ""},
		"for=192.0.2.1;for=192.0.2.2;proto=https":   {"", "https", ""},
		"forx=192.0.2.1":                            {"", "", ""},
		"192.0.2.1":                                 {"", "", ""},
		"":                                          {"", "", ""},
	} {
		for i, name := range []string{"for", "proto", "host"} {
			if got := ForwardedValue(element, name); got != want[i] {
				t.Errorf("%s of %q: %q, want %q", name, element, got, want[i])
			}
		}
	}
}
