package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// resource is the metadata of a protected resource (RFC 9728 §2).
type resource struct {
	Resource       string   `json:"resource"`
	Servers        []string `json:"authorization_servers"`
	Scopes         []string `json:"scopes_supported,omitempty"`
	BearerMethods  []string `json:"bearer_methods_supported"`
	Name           string   `json:"resource_name,omitempty"`
	DPoPAlgorithms []string `json:"dpop_signing_alg_values_supported"`
}

// Metadata describes a route as a protected resource, at the well-known address followed by the
// route's path (RFC 9728 §3.1). Without a path, at its own host, it describes the issuer.
func (g *Gateway) Metadata(w http.ResponseWriter, r *http.Request) {
	r.Pattern = pathMetadata
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodOptions {
		web.AnswerPreflight(w, r, "GET, HEAD")
		return
	}
	web.OpenToScripts(h) // which read it before they know where to sign in
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD, OPTIONS")
		writeProblem(w, r, http.StatusMethodNotAllowed, access.CodeMethod,
			"This address serves only GET.")
		return
	}
	doc := g.describe(r)
	if doc == nil {
		writeProblem(w, r, http.StatusNotFound, access.CodeNotFound,
			"There is no protected resource at this address.")
		return
	}
	body, _ := json.Marshal(doc) // strings always marshal
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the caller is gone if it fails
	}
}

func writeProblem(w http.ResponseWriter, r *http.Request, status int, code, text string) {
	id := web.EventOf(r.Context()).ID
	web.WriteProblem(w, r, web.Problem{Status: status, Code: code, Text: text, RequestID: id})
}

// describe returns the resource that a metadata address is about, or nil. The address must name the
// resource exactly: what is below a route's prefix is not a resource of its own (RFC 9728 §3.3).
func (g *Gateway) describe(r *http.Request) *resource {
	host, ok := hostOf(r.Host)
	if !ok {
		return nil
	}
	suffix := strings.TrimPrefix(rawPath(r), pathMetadata)
	path := suffix
	if path == "" {
		path = "/"
	}
	if _, err := access.Clean(path); err != nil {
		return nil
	}
	tab := g.table.Load()
	if c, _, ok := tab.routes.Match(host, path); ok && c.Prefix() == path {
		route := c.Route()
		doc := g.metadataOf(c.ResourceAt(host), route.Name, route.Scopes)
		for _, f := range tab.foreign {
			if slices.Contains(route.Issuers, f.name) {
				doc.Servers = append(doc.Servers, f.issuer)
			}
		}
		return doc
	}
	if suffix == "" && host == g.host {
		return g.metadataOf(g.Issuer, "", nil)
	}
	return nil
}

func (g *Gateway) metadataOf(identifier, name string, scopes []string) *resource {
	return &resource{
		Resource:       identifier,
		Name:           name,
		Servers:        []string{g.Issuer},
		Scopes:         scopes,
		BearerMethods:  []string{"header"},
		DPoPAlgorithms: dpop.Algorithms(),
	}
}

// metadataURL returns the address of the metadata of a resource: the well-known path between the
// host and the path of its identifier (RFC 9728 §3.1).
func metadataURL(identifier string) string {
	scheme, rest, _ := strings.Cut(identifier, "://")
	host, path, found := strings.Cut(rest, "/")
	if found {
		path = "/" + path
	}
	return scheme + "://" + host + pathMetadata + path
}
