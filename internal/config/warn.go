package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// Warnings returns what is allowed but probably a mistake, one sentence each. The server logs them
// when it starts.
func (c *Config) Warnings() []string {
	out := slices.Clone(c.strangers)
	for _, p := range c.Server.TrustedProxies {
		if p.Bits() == 0 {
			out = append(out, fmt.Sprintf("TRUSTED_PROXIES contains %s: every caller can choose its own address; "+
				"list the addresses of your proxies only", p))
		}
	}
	if c.Accounts.PasswordResetTTL < c.Accounts.ResetWindow {
		out = append(out, "PASSWORD_RESET_TTL is shorter than PASSWORD_RESET_RATE_WINDOW: whoever requests many "+
			"links for an account keeps its owner from resetting the password until the window ends")
	}
	if p := c.Passwords; p.Nist() && (p.Expiry > 0 || p.AdminExpiry > 0) {
		out = append(out, "PASSWORD_POLICY is nist, but passwords expire: NIST SP 800-63B-4 forbids changes at "+
			"fixed times; set PASSWORD_EXPIRY_DAYS and ADMIN_PASSWORD_EXPIRY_DAYS to 0")
	}
	behind := strings.HasPrefix(c.Server.BaseURL, "https:") && !c.TLS()
	if c.Production() && behind && len(c.Server.TrustedProxies) == 0 {
		out = append(out, "BASE_URL is https, but neither SSL_CERT nor TRUSTED_PROXIES is set: behind a proxy, "+
			"all callers have the proxy's address; list it in TRUSTED_PROXIES")
	}
	return out
}

// elsewhere returns settings of other programs that Gatehouse can replace, with ours, and settings
// that a later release will have, with "".
func elsewhere() map[string]string {
	out := map[string]string{
		"CRYSTAL_ENV":              "ENVIRONMENT",
		"CRYSTAL_LOG_LEVEL":        "LOG_LEVEL",
		"CRYSTAL_WORKERS":          "GOMAXPROCS",
		"JWT_SECRET":               "SECRET_KEY",
		"JWT_EXPIRATION":           "ACCESS_TOKEN_TTL",
		"REFRESH_TOKEN_EXPIRATION": "REFRESH_TOKEN_TTL",
		"ENABLE_TOKEN_ROTATION":    "REFRESH_TOKEN_ROTATION",
		"SESSION_SECRET":           "SECRET_KEY",
		"SERVER_ADDR":              "HOST and PORT",
		"DATABASE_DSN":             "DATABASE_URL",
		"REDIS_ADDR":               "REDIS_URL",
		"ENABLE_RATE_LIMIT":        "RATE_LIMIT_ENABLED",
		"AUDIT_LOG_RETENTION":      "AUDIT_LOG_RETENTION_DAYS",
		"DEVICE_CODE_EXPIRATION":   "DEVICE_CODE_TTL",
	}
	for _, name := range []string{
		"EMAIL_PREVIEW",
		"GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET",
		"FACEBOOK_CLIENT_ID", "FACEBOOK_CLIENT_SECRET", "LINKEDIN_CLIENT_ID",
		"LINKEDIN_CLIENT_SECRET", "APPLE_CLIENT_ID", "APPLE_TEAM_ID", "APPLE_KEY_ID",
		"APPLE_PRIVATE_KEY",
	} {
		out[name] = ""
	}
	return out
}

// stranger returns a warning about a variable of the environment that looks like a setting and is
// none, or "".
func (l *loader) stranger(name string) string {
	base := strings.TrimSuffix(name, "_FILE")
	if _, ok := l.byName[base]; ok || name == "SSL_CERT_DIR" {
		return ""
	}
	switch ours, ok := elsewhere()[base]; {
	case ok && ours == "":
		return fmt.Sprintf("environment: %s has no effect in this release", name)
	case ok:
		return fmt.Sprintf("environment: %s is a setting of another program and has no effect; use %s", name, ours)
	}
	if !strings.Contains(base, "_") || len(base) < len("LOG_LEVEL")-1 {
		return "" // too short: many programs have such names
	}
	near := spell.Nearest(base, l.names)
	if near == "" || spell.Distance(base, near) > 2 {
		return ""
	}
	return fmt.Sprintf("environment: %s is not a setting and has no effect; did you mean %s?", clip(name), near)
}

// serviceLinks removes what Kubernetes puts into the environment of each pod for a Service, and
// adds a warning about it: with a Service called redis there is REDIS_PORT=tcp://10.0.0.1:6379.
func (l *loader) serviceLinks(vars map[string]string) {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		scheme, _, ok := strings.Cut(strings.TrimSpace(vars[name]), "://")
		if !ok || !slices.Contains([]string{"tcp", "udp", "sctp"}, scheme) {
			continue
		}
		_, ours := l.byName[name]
		service, port := strings.CutSuffix(name, "PORT")
		if ours || port && slices.Contains([]string{"", "GATEHOUSE_", "REDIS_", "DATABASE_"}, service) {
			found = append(found, name)
			delete(vars, name)
		}
	}
	if len(found) > 0 {
		l.cfg.strangers = append(l.cfg.strangers, fmt.Sprintf("environment: %s holds the address of a "+
			"Kubernetes Service and is ignored; enableServiceLinks: false in the pod keeps such variables away",
			strings.Join(found, ", ")))
	}
}

// weakKey reports whether a key can be guessed: it has few different characters, repeats a part of
// itself, counts up or down, or is a placeholder. A random key practically never is.
func weakKey(written string, key []byte) bool {
	lower := strings.ToLower(written)
	for _, word := range []string{"changeme", "change-me", "change_me", "placeholder", "your-", "password", "secret-key"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return few(written) || repeats(written) || counts(written) || repeats(string(key)) || counts(string(key))
}

// few reports whether a text has fewer than 8 different bytes.
func few(s string) bool {
	seen := map[byte]bool{}
	for i := range len(s) {
		seen[s[i]] = true
	}
	return len(seen) < 8
}

// repeats reports whether a text is one part, at most half of it, over and over.
func repeats(s string) bool {
	for n := 1; n <= len(s)/2; n++ {
		if s[n:] == s[:len(s)-n] {
			return true
		}
	}
	return false
}

// counts reports whether most bytes follow their neighbor in the alphabet, up or down.
func counts(s string) bool {
	steps := 0
	for i := 1; i < len(s); i++ {
		if d := int(s[i]) - int(s[i-1]); d == 1 || d == -1 {
			steps++
		}
	}
	return steps > len(s)/2
}
