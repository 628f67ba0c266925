package access

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// MaxPath is the longest path that passes, in bytes as sent.
const MaxPath = 8 << 10

// Clean validates the path of a request as it is on the request line, without a query, and
// returns it unescaped.
//
// It never repairs a path. A rule for /shop/admin protects nothing if the upstream reads
// /shop/admin in a path that the gateway took for another. So every path that two programs may
// read in two ways is rejected (fault.Invalid): dot segments (RFC 3986 §5.2.4), escaped or not;
// escaped slashes and backslashes; empty segments; control characters; escapes of escapes; bytes
// that are not UTF-8; and segments that are empty or dots without their `;` parameters (RFC 3986
// §3.3). Other parameters pass; Match rejects those that would change the route.
func Clean(rawPath string) (path string, err error) {
	switch {
	case rawPath == "" || rawPath[0] != '/':
		return "", badPath("does not begin with /")
	case len(rawPath) > MaxPath:
		return "", fault.InvalidField("path", "The path has more than %d bytes; shorten it.",
			MaxPath)
	}
	if path, err = unescape(rawPath); err != nil {
		return "", err
	}
	if err := readsOneWay(path); err != nil {
		return "", err
	}
	return path, nil
}

// cleanSlashes validates a path that has escaped slashes as Clean does others. It returns the two
// ways of reading it: with slashes in their place, and with the escapes as text of a segment.
func cleanSlashes(rawPath string) (slashes, text string, err error) {
	slashes, err = Clean(strings.ReplaceAll(strings.ReplaceAll(rawPath, "%2F", "/"), "%2f", "/"))
	if err != nil {
		return "", "", err
	}
	// no escape contains %2F: Clean has rejected %252F
	parts := strings.Split(strings.ReplaceAll(rawPath, "%2f", "%2F"), "%2F")
	for i, part := range parts {
		if parts[i], err = unescape(part); err != nil {
			return "", "", err
		}
	}
	return slashes, strings.Join(parts, "%2F"), nil
}

// hasEncodedSlash reports whether a raw path has an escaped slash.
func hasEncodedSlash(rawPath string) bool {
	return strings.Contains(rawPath, "%2F") || strings.Contains(rawPath, "%2f")
}

func badPath(what string) error {
	return fault.InvalidField("path", "The path %s; send it in its plain form.", what)
}

// unescape returns a path without its escapes, and rejects what is only visible before.
func unescape(raw string) (string, error) {
	escapes := 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '%':
			escapes++
		case c == ' ' || c == '?' || c == '#': // RFC 3986 §3.3: none of them is part of a path
			return "", badPath("contains a space, ? or # without an escape")
		}
	}
	if escapes == 0 {
		return raw, nil
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return "", badPath("contains a % that does not begin an escape")
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			if c == '/' {
				return "", badPath("contains an escaped slash (%2F)")
			}
			i += 2
		}
		out = append(out, c)
	}
	path := string(out)
	for i := 0; i+2 < len(path); i++ {
		// a program that unescapes twice would read another path
		if path[i] == '%' && isHex(path[i+1]) && isHex(path[i+2]) {
			return "", badPath("contains an escape of an escape (%25)")
		}
	}
	return path, nil
}

// readsOneWay rejects an unescaped path that two programs may read in two ways.
func readsOneWay(path string) error {
	plain := true
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\':
			return badPath("contains a backslash, which some programs read as a slash")
		case c < 0x20 || c == 0x7f:
			return badPath("contains a control character")
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	if !plain {
		if !utf8.ValidString(path) {
			return badPath("is not UTF-8")
		}
		if strings.ContainsFunc(path, unicode.IsControl) {
			return badPath("contains a control character")
		}
	}
	for rest := path[1:]; ; {
		segment, after, more := strings.Cut(rest, "/")
		name, _, parameters := strings.Cut(segment, ";")
		switch {
		case name == "." || name == "..":
			return badPath("contains a dot segment")
		case name == "" && (more || parameters):
			return badPath("contains an empty segment")
		case !more:
			return nil
		}
		rest = after
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
