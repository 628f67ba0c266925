package config

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/palette"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// A value is a place in a Config together with the way to read it. parse returns
// an error that says what is accepted and never repeats the input; the caller
// knows whether the input may be shown.
type value interface {
	parse(s string) error
	accepts() string // for the reference page
	isBool() bool
}

type accept string

func (a accept) Error() string { return string(a) }

type text struct {
	p     *string
	after string // what is accepted, for the reference
}

func (v text) parse(s string) error { *v.p = s; return nil }
func (v text) accepts() string      { return v.after }
func (v text) isBool() bool         { return false }

type sealed struct {
	p     *Secret
	after string
}

func (v sealed) parse(s string) error { *v.p = Secret(s); return nil }
func (v sealed) accepts() string      { return v.after }
func (v sealed) isBool() bool         { return false }

// dsn is the address of a store, with one of a few schemes.
type dsn struct {
	p       *Secret
	schemes []string
	none    bool
}

func (v dsn) parse(s string) error {
	if v.none && strings.EqualFold(s, "none") {
		*v.p = ""
		return nil
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || rest == "" || !slices.Contains(v.schemes, strings.ToLower(scheme)) {
		return accept("must be " + v.accepts())
	}
	if scheme = strings.ToLower(scheme); scheme != "sqlite" {
		u, err := url.Parse(scheme + ":" + firstHost(rest))
		if err != nil || !strings.HasPrefix(rest, "//") || (u.Host == "" && u.Path == "" && u.RawQuery == "") ||
			strings.HasPrefix(scheme, "postgres") && twoAts(rest) {
			return accept("must be a complete address, like " + scheme +
				"://user:password@host/name; write special characters of a password as %XX")
		}
	}
	if scheme == "sqlite" && strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///") {
		path := strings.TrimPrefix(rest, "//")
		return accept("must be sqlite:PATH, without two slashes: write sqlite:" + path +
			", or sqlite:/" + path + " for an absolute path")
	}
	*v.p = Secret(scheme + ":" + rest)
	return nil
}

// twoAts reports whether the part of an address that names user, password and hosts has two @. The
// driver would take a part of the password for a host, and name it in its errors.
func twoAts(rest string) bool {
	authority, _, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "/")
	authority, _, _ = strings.Cut(authority, "?")
	return strings.Count(authority, "@") > 1
}

// firstHost returns the part of an address behind the scheme with the first of its hosts alone:
// url.Parse knows no lists.
func firstHost(rest string) string {
	end := len(rest)
	if i := strings.IndexAny(strings.TrimPrefix(rest, "//"), "/?#"); i >= 0 {
		end = i + len(rest) - len(strings.TrimPrefix(rest, "//"))
	}
	from := strings.LastIndexByte(rest[:end], '@') + 1
	if i := strings.IndexByte(rest[from:end], ','); i >= 0 {
		return rest[:from+i] + rest[end:]
	}
	return rest
}

func (v dsn) accepts() string {
	forms := make([]string, len(v.schemes))
	for i, s := range v.schemes {
		if forms[i] = s + "://…"; s == "sqlite" {
			forms[i] = "sqlite:PATH"
		}
	}
	if v.none {
		forms = append(forms, "none")
	}
	return oneOf(forms)
}
func (v dsn) isBool() bool { return false }

type number[T ~int | ~int64] struct {
	p        *T
	min, max T
}

func (v number[T]) parse(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < int64(v.min) || n > int64(v.max) {
		return accept("must be " + v.accepts())
	}
	*v.p = T(n)
	return nil
}

func (v number[T]) accepts() string { return fmt.Sprintf("a whole number from %d to %d", v.min, v.max) }
func (v number[T]) isBool() bool    { return false }

// shade is a color, kept in lower case.
type shade struct{ p *string }

func (v shade) parse(s string) error {
	c, err := palette.Parse(s)
	if err != nil {
		return err
	}
	*v.p = c.String()
	return nil
}
func (v shade) accepts() string { return "# and six hexadecimal digits, such as #0f6557" }
func (v shade) isBool() bool    { return false }

type boolean struct{ p *bool }

func (v boolean) parse(s string) error {
	switch strings.ToLower(s) {
	case "true", "1", "yes", "on":
		*v.p = true
	case "false", "0", "no", "off":
		*v.p = false
	default:
		return accept("must be true or false (or yes/no, on/off, 1/0)")
	}
	return nil
}
func (v boolean) accepts() string { return "true or false" }
func (v boolean) isBool() bool    { return true }

// duration reads a plain number in its unit and, unless plain is set, a Go
// duration. A name that ends in the unit (…_DAYS, …_MINUTES) takes plain
// numbers only: "IDLE_TIMEOUT_MINUTES=2h" would contradict itself.
type duration struct {
	p        *time.Duration
	unit     time.Duration
	min, max time.Duration
	plain    bool
}

func (v duration) parse(s string) error {
	var d time.Duration
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 0 || n > math.MaxInt64/int64(v.unit) {
			return accept("must be " + v.accepts())
		}
		d = time.Duration(n) * v.unit
	} else if days, ok := parseDays(s); ok && (!v.plain || v.unit == day) {
		d = days
	} else if d, err = time.ParseDuration(s); err != nil || v.plain {
		return accept("must be " + v.accepts())
	}
	if d < v.min || d > v.max || d%time.Millisecond != 0 {
		return accept("must be " + v.accepts())
	}
	*v.p = d
	return nil
}

// parseDays parses a number of days such as 7d, which time.ParseDuration does not know.
func parseDays(s string) (time.Duration, bool) {
	number, ok := strings.CutSuffix(s, "d")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || n > math.MaxInt64/uint64(day) {
		return 0, false
	}
	return time.Duration(n) * day, true
}

func (v duration) accepts() string {
	forms := map[time.Duration]string{time.Second: "seconds", time.Minute: "minutes", 24 * time.Hour: "days"}[v.unit]
	forms = fmt.Sprintf("%s from %d to %d", forms, ceil(v.min, v.unit), v.max/v.unit)
	if !v.plain {
		forms += ", or a form like 90s, 15m, 1h30m or 7d"
	}
	return forms
}
func (v duration) isBool() bool { return false }

func ceil(d, unit time.Duration) time.Duration { return (d + unit - 1) / unit }

// choice is one of a few words, read in any case and kept as listed.
type choice[T ~string] struct {
	p  *T
	of []T
}

func (v choice[T]) parse(s string) error {
	words := make([]string, len(v.of))
	for i, w := range v.of {
		if strings.EqualFold(s, string(w)) {
			*v.p = w
			return nil
		}
		words[i] = string(w)
	}
	msg := "must be " + oneOf(words)
	if near := spell.Nearest(s, words); near != "" {
		msg += "; did you mean " + near + "?"
	}
	return accept(msg)
}

func (v choice[T]) accepts() string {
	words := make([]string, len(v.of))
	for i, w := range v.of {
		words[i] = string(w)
	}
	return oneOf(words)
}
func (v choice[T]) isBool() bool { return false }

// list is words separated by commas or spaces.
type list struct {
	p     *[]string
	what  string
	check func(word string) bool
}

func (v list) parse(s string) error {
	words := split(s)
	for i, w := range words {
		if !v.check(w) {
			return accept(fmt.Sprintf("must be %s; item %d is not", v.accepts(), i+1))
		}
	}
	*v.p = words
	return nil
}
func (v list) accepts() string { return v.what + ", separated by commas or spaces" }
func (v list) isBool() bool    { return false }

// roleGraces is a list of roles, each of which may have a number of days after an equals sign.
type roleGraces struct{ p *[]RoleGrace }

func (v roleGraces) parse(s string) error {
	var all []RoleGrace
	for i, w := range split(s) {
		role, days, found := strings.Cut(w, "=")
		g := RoleGrace{Role: role, Grace: -1}
		if found {
			n, err := strconv.Atoi(days)
			if err != nil || n < 0 || n > 365 {
				return accept(fmt.Sprintf("must be %s; the days of item %d are not", v.accepts(), i+1))
			}
			g.Grace = time.Duration(n) * day
		}
		if role == "" || !printable(role) || slices.ContainsFunc(all, func(o RoleGrace) bool { return o.Role == role }) {
			return accept(fmt.Sprintf("must be %s; item %d is not, or is there twice", v.accepts(), i+1))
		}
		all = append(all, g)
	}
	*v.p = all
	return nil
}

func (v roleGraces) accepts() string {
	return "roles such as editor or finance=0 (days from 0 to 365), separated by commas or spaces"
}
func (v roleGraces) isBool() bool { return false }

// subset is one or more of a few words.
type subset struct {
	p   *[]string
	all []string
}

func (v subset) parse(s string) error {
	var words []string
	for _, w := range split(s) {
		var one string
		if err := (choice[string]{&one, v.all}).parse(w); err != nil {
			return err
		}
		if !slices.Contains(words, one) {
			words = append(words, one)
		}
	}
	if len(words) == 0 {
		return accept("must name at least one of " + oneOf(v.all))
	}
	*v.p = words
	return nil
}

func (v subset) accepts() string {
	return "one or more of " + strings.Join(v.all, ", ") + ", separated by commas or spaces"
}
func (v subset) isBool() bool { return false }

// prefixes are networks and single addresses.
type prefixes struct{ p *[]netip.Prefix }

func (v prefixes) parse(s string) error {
	var out []netip.Prefix
	if strings.EqualFold(s, "none") {
		s = ""
	}
	for i, w := range split(s) {
		p, err := netaddr.ParsePrefix(w)
		if err != nil {
			return accept(fmt.Sprintf("must be %s; item %d %s", v.accepts(), i+1, err))
		}
		out = append(out, p)
	}
	*v.p = out
	return nil
}

func (v prefixes) accepts() string {
	return "addresses and networks such as 192.0.2.7 or 10.0.0.0/8, separated by commas or spaces, or none"
}
func (v prefixes) isBool() bool { return false }

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
}

func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
