package bearer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
)

// A Resource describes an API (RFC 9728 §2).
type Resource struct {
	ID            string   // identifier, an https address without a query; "" means the first Audience
	Name          string   // shown to people, or ""
	Documentation string   // address of a page for developers, or ""
	Policy        string   // address of the privacy policy, or ""
	Terms         string   // address of the terms of use, or ""
	Scopes        []string // scopes that tokens for it can have
}

// wellKnown stands between the host and the path of the identifier (RFC 9728 §3).
const wellKnown = "/.well-known/oauth-protected-resource"

// describe renders the metadata document.
func (s *settings) describe() error {
	r := *s.Resource
	if r.ID == "" && len(s.Audience) > 0 {
		r.ID = s.Audience[0]
	}
	u, err := url.Parse(r.ID)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || !secure(u, s.AllowHTTP) {
		return fmt.Errorf("the identifier %q of the Resource is not an https address without a "+
			"query (RFC 9728 section 1.2)", r.ID)
	}
	for _, scope := range r.Scopes {
		if !isScope(scope) {
			return fmt.Errorf("%q in the Scopes of the Resource is not one scope", scope)
		}
	}
	s.documentPath = wellKnown + strings.TrimSuffix(u.EscapedPath(), "/")
	s.documentURL = u.Scheme + "://" + u.Host + s.documentPath
	doc, err := json.Marshal(struct {
		Resource      string   `json:"resource"`
		Servers       []string `json:"authorization_servers"`
		Scopes        []string `json:"scopes_supported,omitempty"`
		Methods       []string `json:"bearer_methods_supported"`
		Name          string   `json:"resource_name,omitempty"`
		Documentation string   `json:"resource_documentation,omitempty"`
		Policy        string   `json:"resource_policy_uri,omitempty"`
		Terms         string   `json:"resource_tos_uri,omitempty"`
		Algs          []string `json:"dpop_signing_alg_values_supported"`
		OnlyDPoP      bool     `json:"dpop_bound_access_tokens_required,omitempty"`
	}{
		Resource:      r.ID,
		Servers:       []string{s.Issuer},
		Scopes:        r.Scopes,
		Methods:       []string{"header"},
		Name:          r.Name,
		Documentation: r.Documentation,
		Policy:        r.Policy,
		Terms:         r.Terms,
		Algs:          dpop.Algorithms(),
		OnlyDPoP:      s.DPoP.Required,
	})
	if err != nil {
		return errors.New("the metadata of the Resource cannot be encoded")
	}
	s.document = doc
	return nil
}

// MetadataPath returns the path of the metadata document, or "" without Config.Resource:
//
//	mux.Handle("GET "+v.MetadataPath(), v.Metadata())
func (v *Verifier) MetadataPath() string { return v.documentPath }

// Metadata returns a handler that serves the API's metadata document (RFC 9728 §3.2) to every
// origin: the document is public, and browser apps need to read it.
func (v *Verifier) Metadata() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if v.document == nil {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(v.document) // fails only if the connection is closed
	})
}
