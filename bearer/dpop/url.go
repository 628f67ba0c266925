package dpop

import (
	"net/url"
	"slices"
	"strings"
)

// sameURL reports whether htu and a request's address are equal without query and fragment (RFC
// 9449 §4.3), after the normalization of RFC 3986 §6.2.2 and §6.2.3.
func sameURL(a, b string) bool {
	if a == b && !strings.ContainsAny(a, "?#") {
		return absolute(a)
	}
	na, oka := normalize(a)
	nb, okb := normalize(b)
	return oka && okb && na == nb
}

func absolute(s string) bool {
	_, ok := parse(s)
	return ok
}

// parse parses an absolute address with a host in ASCII, as in a request, and without a user.
func parse(s string) (*url.URL, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.User != nil {
		return nil, false
	}
	host := u.Hostname()
	return u, host != "" && !strings.ContainsFunc(host, notInHost) && strings.Contains(host, ":") == (u.Host[0] == '[')
}

func notInHost(r rune) bool {
	return r > 0x7e || (!unreserved(byte(r)) && r != ':')
}

// normalize returns an absolute address in the form that all its spellings share, or false.
func normalize(s string) (string, bool) {
	u, ok := parse(s)
	if !ok {
		return "", false
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if u.Host[0] == '[' {
		host = "[" + host + "]"
	}
	if port != "" && !(scheme == "https" && port == "443") && !(scheme == "http" && port == "80") {
		host += ":" + port
	}
	return scheme + "://" + host + withoutDots(normalizeEscapes(u.EscapedPath())), true
}

// normalizeEscapes writes escapes in upper case and decodes those of unreserved characters (RFC
// 3986 §6.2.2.1, §6.2.2.2). Others stay: an escaped slash is not a slash.
func normalizeEscapes(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		code := strings.ToUpper(path[i : i+3])
		if c := unhex(code[1])<<4 | unhex(code[2]); unreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(code)
		}
		i += 2
	}
	return b.String()
}

// unhex returns the value of a digit of an escape that url.Parse has accepted.
func unhex(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// withoutDots removes the segments . and .. (RFC 3986 §5.2.4). The empty path becomes / (§6.2.3).
func withoutDots(path string) string {
	if path == "" {
		return "/"
	}
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path, "/")[1:]
	out := make([]string, 0, len(segments))
	for i, seg := range segments {
		dots := seg == "." || seg == ".."
		if !dots {
			out = append(out, seg)
			continue
		}
		if seg == ".." && len(out) > 0 {
			out = slices.Delete(out, len(out)-1, len(out))
		}
		if i == len(segments)-1 {
			out = append(out, "") // /a/.. is /, and /a/. is /a/
		}
	}
	return "/" + strings.Join(out, "/")
}
