package gateway

import (
	"encoding/json"
	"net/http"
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

// Metadata describes a route as a protected resource, at the well-known address with the route's path behind it (RFC 9728 §3.1),
// and the issuer itself where there is none behind it at its own host.
func (g *Gateway) Metadata(w http.ResponseWriter, r *http.Request) {
	r.Pattern = pathMetadata
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*") // scripts read it before they know where to sign in
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	status, body := http.StatusOK, []byte(nil)
	switch doc := g.describe(r); {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		status = http.StatusMethodNotAllowed
		body, _ = json.Marshal(wireError{access.CodeMethod, "This address serves GET only.", web.EventOf(r.Context()).ID, 0})
	case doc == nil:
		h.Set("Cache-Control", "no-store")
		status = http.StatusNotFound
		body, _ = json.Marshal(wireError{access.CodeNotFound, "There is no protected resource at this address.", web.EventOf(r.Context()).ID, 0})
	default:
		h.Set("Cache-Control", "public, max-age=300")
		body, _ = json.Marshal(doc) // strings always marshal
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// describe finds what a metadata address is about, or nil. The resource must be named exactly: what is below a route's prefix is no
// resource of its own (RFC 9728 §3.3).
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
		doc := g.about(c.ResourceAt(host), route.Name, route.Scopes)
		for _, f := range tab.foreign {
			for _, name := range route.Issuers {
				if name == f.name {
					doc.Servers = append(doc.Servers, f.issuer)
				}
			}
		}
		return doc
	}
	if suffix == "" && host == g.host {
		return g.about(g.Issuer, "", nil)
	}
	return nil
}

func (g *Gateway) about(identifier, name string, scopes []string) *resource {
	return &resource{
		Resource: identifier, Name: name, Servers: []string{g.Issuer}, Scopes: scopes,
		BearerMethods: []string{"header"}, DPoPAlgorithms: dpop.Algorithms(),
	}
}

// metadataURL is where a route's metadata are: the well-known path stands between the host and the path of its identifier (RFC 9728 §3.1).
func (g *Gateway) metadataURL(a *asked) string {
	id := a.entry.ResourceAt(a.target.Host)
	scheme, rest, _ := strings.Cut(id, "://")
	host, path, found := strings.Cut(rest, "/")
	if found {
		path = "/" + path
	}
	return scheme + "://" + host + pathMetadata + path
}
