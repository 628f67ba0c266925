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

// Resource is what an API says of itself (RFC 9728 §2).
type Resource struct {
	ID            string   // its identifier, an https address without query; "": the first Audience
	Name          string   // for people, or ""
	Documentation string   // address of a page for developers, or ""
	Policy        string   // address of a page about what is done with data, or ""
	Terms         string   // address of the terms of use, or ""
	Scopes        []string // what a token for it can have
}

// wellKnown is where the document stands, between the host and the path of the identifier (RFC 9728 §3).
const wellKnown = "/.well-known/oauth-protected-resource"

// describe renders the metadata document.
func (s *settings) describe(issuer string) error {
	r := s.resource
	if r.ID == "" && len(s.audiences) > 0 {
		r.ID = s.audiences[0]
	}
	u, err := url.Parse(r.ID)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || !secure(u, s.plain) {
		return fmt.Errorf("Describe: the identifier %q is not an https address without a query (RFC 9728 section 1.2)", r.ID)
	}
	for _, scope := range r.Scopes {
		if !isScope(scope) {
			return fmt.Errorf("Describe: %q is not one scope", scope)
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
		r.ID, []string{issuer}, r.Scopes, []string{"header"}, r.Name, r.Documentation, r.Policy, r.Terms, dpop.Algorithms(), s.onlyDPoP,
	})
	if err != nil {
		return errors.New("Describe: the document cannot be written")
	}
	s.document = doc
	return nil
}

// MetadataPath is where Metadata belongs: mux.Handle("GET "+v.MetadataPath(), v.Metadata()). It is "" without Describe.
func (v *Verifier) MetadataPath() string { return v.documentPath }

// Metadata serves the API's metadata document (RFC 9728 §3.2), to every origin: it holds nothing secret, and a browser app needs to read it.
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
		_, _ = w.Write(v.document) // fails only if the caller has gone
	})
}
