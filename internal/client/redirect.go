package client

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// MaxURI bounds a URI that a client registers or sends, in bytes.
const MaxURI = 2048

// ValidRedirect returns what is wrong with a redirect URI that is about to be registered, or nil
// (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §2.1). It must be absolute, without a fragment or
// wildcard, and use https, or http on a loopback address, or an app's own scheme.
func ValidRedirect(raw string) error { return validRedirect(raw, false) }

// validRedirect does what ValidRedirect does. With custom, an app's own scheme may be any that no
// browser or operating system interprets itself.
func validRedirect(raw string, custom bool) error {
	u, err := parseRedirect(raw)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "https":
		if u.Hostname() == "" {
			return fault.InvalidField("redirect_uri", "redirect URI %q has no host", raw)
		}
		return nil
	case "http":
		if !IsLoopback(u.Hostname()) {
			return fault.InvalidField("redirect_uri", "redirect URI %q must use https: "+
				"http is only safe on this machine's own addresses (localhost, 127.0.0.1, [::1])", raw)
		}
		return nil
	}
	switch {
	case strings.Contains(u.Scheme, "."):
		return nil
	case slices.Contains(interpretedSchemes(), u.Scheme) || strings.HasPrefix(u.Scheme, "ms-"):
		return fault.InvalidField("redirect_uri", "redirect URI %q uses the scheme %q, "+
			"which cannot belong to an app: browsers or operating systems interpret it", raw, u.Scheme)
	case !custom:
		return fault.InvalidField("redirect_uri", "redirect URI %q uses the scheme %q: "+
			"an app's own scheme must be a domain name in reverse, as in com.example.app:/callback "+
			"(RFC 8252 section 7.1), unless the client allows custom schemes", raw, u.Scheme)
	}
	return nil
}

// interpretedSchemes returns schemes that run or show what follows them, or that start a program
// of the operating system, instead of an app that registered them. So do all that begin with ms-.
func interpretedSchemes() []string {
	return []string{
		"about", "afp", "blob", "chrome", "content", "data", "file", "filesystem", "ftp", "ftps", "intent",
		"itms-services", "jar", "javascript", "ldap", "ldaps", "mailto", "nfs", "resource", "search",
		"search-ms", "sftp", "shell", "smb", "sms", "ssh", "tel", "telnet", "urn", "vbscript",
		"view-source", "ws", "wss",
	}
}

// CustomSchemesUsed returns the schemes of redirect URIs that any other app could register on a
// person's device as well, because they are not domain names in reverse (RFC 8252 §7.1, §8.4).
func (c *Client) CustomSchemesUsed() []string {
	var out []string
	for _, raw := range slices.Concat(c.Redirects, c.PostLogout) {
		u, err := url.Parse(raw)
		if err == nil && u.Scheme != "https" && u.Scheme != "http" && !strings.Contains(u.Scheme, ".") &&
			!slices.Contains(out, u.Scheme) {
			out = append(out, u.Scheme)
		}
	}
	return out
}

func parseRedirect(raw string) (*url.URL, error) {
	if raw == "" || len(raw) > MaxURI {
		return nil, fault.InvalidField("redirect_uri", "a redirect URI has 1 to %d characters", MaxURI)
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] <= 0x20 || raw[i] >= 0x7f || raw[i] == '\\' || raw[i] == '*' {
			return nil, fault.InvalidField("redirect_uri", "redirect URI %q has a space, backslash, asterisk "+
				"or a character outside ASCII: percent-encode it (a host name is written as xn--…), "+
				"and register every address exactly", raw)
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || !u.IsAbs():
		return nil, fault.InvalidField("redirect_uri", "redirect URI %q is not an absolute URI", raw)
	case strings.ContainsFunc(u.Host, notPrintableASCII): // percent-encoded
		return nil, fault.InvalidField("redirect_uri", "redirect URI %q has a host that no browser sends: "+
			"write its name as xn--…", raw)
	case strings.Contains(raw, "#"):
		return nil, fault.InvalidField("redirect_uri", "redirect URI %q has a fragment; leave out what begins with #", raw)
	case u.User != nil:
		return nil, fault.InvalidField("redirect_uri", "redirect URI %q has a username; leave it out", raw)
	}
	return u, nil
}

// IsLoopback reports whether a host can only be this machine.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// MatchRedirect reports whether a redirect URI is registered. URIs are compared as strings
// (RFC 9700 §2.1), except for the port of a loopback address, which an app cannot know beforehand
// (RFC 8252 §7.3).
func (c *Client) MatchRedirect(uri string) bool { return MatchURI(c.Redirects, uri) }

// MatchURI reports whether a URI is among those registered, by the rules of MatchRedirect.
func MatchURI(registered []string, uri string) bool {
	if slices.Contains(registered, uri) {
		return true
	}
	u, err := parseRedirect(uri)
	if err != nil || u.Scheme != "http" || !IsLoopback(u.Hostname()) {
		return false
	}
	want := withoutPort(u)
	for _, r := range registered {
		ru, err := parseRedirect(r)
		if err == nil && ru.Scheme == "http" && IsLoopback(ru.Hostname()) && withoutPort(ru) == want {
			return true
		}
	}
	return false
}

// withoutPort returns the exact text of a URI without its port and fragment.
func withoutPort(u *url.URL) string {
	host := u.Host
	if p := u.Port(); p != "" {
		host = strings.TrimSuffix(host, ":"+p)
	}
	return u.Scheme + "://" + host + u.EscapedPath() + "?" + u.RawQuery
}

// Origin returns the scheme and host of a redirect URI, or "scheme:" for an app's own scheme.
// People see it on the pages that lead to an app.
func Origin(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme == "":
		return ""
	case u.Host == "":
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}
