package app

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Every algorithm that discovery publishes has its key in the key set before anything is signed.
func TestPublishedAlgorithmsHaveKeys(t *testing.T) {
	h := newTestServer(t)
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
	var have []string
	for _, k := range set.Keys {
		have = append(have, k.Alg)
	}
	for _, alg := range doc.Algs {
		if !slices.Contains(have, alg) {
			t.Errorf("%s is published without a key; the key set has %q", alg, have)
		}
	}
}
