package config

import (
	"encoding/hex"
	"net/url"
	"strings"
)

// isUUID reports whether a word is a UUID in its usual form.
func isUUID(word string) bool {
	parts := strings.Split(word, "-")
	if len(parts) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if _, err := hex.DecodeString(parts[i]); err != nil || len(parts[i]) != n {
			return false
		}
	}
	return true
}

// isOrigin reports whether a word is the origin of a page that browsers trust: https, or http on
// this machine.
func isOrigin(word string) bool {
	u, err := url.Parse(word)
	if err != nil || u.Host == "" || word != u.Scheme+"://"+u.Host {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

// maxRelated is how many names of sites browsers look at (Web Authentication §5.11).
const maxRelated = 5

func (c *Config) checkPasskeys(p *Problems) {
	k := c.Passkeys
	if len(k.AAGUIDs) > 0 && k.Attestation != "direct" {
		p.add("PASSKEY_AAGUIDS needs PASSKEY_ATTESTATION=direct: without it, nobody says which model a passkey is of")
	}
	if len(k.Related) > maxRelated {
		p.add("PASSKEY_RELATED_ORIGINS names %d origins; browsers look at %d", len(k.Related), maxRelated)
	}
	u, err := url.Parse(c.Server.BaseURL)
	if err != nil || k.ServerID == "" {
		return
	}
	host := u.Hostname()
	below := host == k.ServerID || strings.HasSuffix(host, "."+k.ServerID)
	if !below || isIP(k.ServerID) || strings.HasPrefix(k.ServerID, ".") {
		p.add("PASSKEY_RP_ID is %q; it must be %s or a domain above it", clip(k.ServerID), host)
	}
}
