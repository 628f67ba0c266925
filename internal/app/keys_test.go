package app

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// publishedKeys returns the algorithms in discovery, and those of the key set.
func publishedKeys(t *testing.T, h *testServer) (discovery, keys []string) {
	t.Helper()
	var doc struct {
		Algs []string `json:"id_token_signing_alg_values_supported"`
	}
	testkit.Must(t, json.Unmarshal([]byte(h.do(t, h.request("GET", "/.well-known/openid-configuration", nil, ""))), &doc))
	var set struct {
		Keys []struct {
			Alg string `json:"alg"`
		} `json:"keys"`
	}
	testkit.Must(t, json.Unmarshal([]byte(h.do(t, h.request("GET", "/.well-known/jwks.json", nil, ""))), &set))
	for _, k := range set.Keys {
		keys = append(keys, k.Alg)
	}
	slices.Sort(doc.Algs)
	slices.Sort(keys)
	return doc.Algs, keys
}

// A fresh server publishes one key, that of its own algorithm, and discovery says so.
func TestPublishedAlgorithmsHaveKeys(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		discovery, keys := publishedKeys(t, newTestServer(t, "JWT_ALGORITHM="+alg))
		if !slices.Equal(discovery, []string{alg}) || !slices.Equal(keys, []string{alg}) {
			t.Errorf("%s: discovery has %q, the key set has %q", alg, discovery, keys)
		}
	}
}

// The key of a client's algorithm, and that of X-Auth-Info, are published once something uses
// them, before they sign; they are gone when they are withdrawn.
func TestKeysFollowTheirUse(t *testing.T) {
	d := newGatewayServer(t)
	await := func(what string, want ...string) {
		t.Helper()
		testkit.Eventually(t, what, func() bool {
			discovery, keys := publishedKeys(t, d.testServer)
			return slices.Equal(discovery, want) && slices.Equal(keys, want)
		})
	}
	await("fresh", "RS256")
	d.command("client", "create", "--id", "ps", "--name", "PS", "--grant", "client_credentials", "--alg", "PS256")
	await("a client with PS256", "PS256", "RS256")
	d.command("route", "create", "--domain", "shop", "--version", "v1", "--upstream", d.service.URL)
	await("a route", "ES256", "PS256", "RS256")
	d.command("client", "delete", "ps", "--yes")
	var list struct {
		Data []struct{ KID, Alg string }
	}
	testkit.Must(t, json.Unmarshal([]byte(d.command("key", "list", "--json")), &list))
	for _, k := range list.Data {
		if k.Alg == "PS256" {
			d.command("key", "retire", k.KID, "--yes")
		}
	}
	await("PS256 withdrawn", "ES256", "RS256")
}
