package protocol

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// shortClient is a client as /api/v1/client shows it, for programs that know no other interface.
type shortClient struct {
	ID     client.ID `json:"client_id"`
	Name   string    `json:"client_name"`
	Grants []string  `json:"grants"`
	Scopes []string  `json:"scopes"`
}

// shortRegistration answers a registration at /api/v1/client.
type shortRegistration struct {
	ID     client.ID `json:"client_id"`
	Secret string    `json:"client_secret,omitempty"`
}

// createByName serves POST /api/v1/client: a confidential client if it acts for itself, else a
// public one.
func (s *Registrations) createByName(w http.ResponseWriter, r *http.Request) {
	s.short(w, r, func(c *registrationCall) (any, error) {
		if err := c.readBody(); err != nil {
			return nil, err
		}
		var in struct {
			Name   string   `json:"client_name"`
			Scopes []string `json:"scopes"`
			Grants []string `json:"grants"`
		}
		dec := json.NewDecoder(strings.NewReader(string(c.body)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil || dec.More() {
			return nil, oauth.InvalidRequest(
				"The body must be an object with the members client_name, scopes and grants.")
		}
		p := admin.ClientPatch{
			Values: client.Client{
				Name:   in.Name,
				Scopes: in.Scopes,
				Grants: in.Grants,
				Public: !slices.Contains(in.Grants, client.GrantTypeClient),
			},
			Names: []string{"client_name", "scope", "grant_types", "public"},
		}
		done, err := s.Registrar.CreateClient(r.Context(), c.who.Actor, admin.NewClient{Fields: p})
		if err != nil {
			return nil, admin.RegistrationError(err)
		}
		return shortRegistration{done.Client.ID, done.Secret}, nil
	})
}

// showByName serves GET /api/v1/client/{id}.
func (s *Registrations) showByName(w http.ResponseWriter, r *http.Request) {
	s.short(w, r, func(c *registrationCall) (any, error) {
		cl, err := s.Registrar.Client(r.Context(), c.who.Actor, string(c.id))
		if err != nil {
			return nil, err
		}
		return shortClient{
			ID:     cl.ID,
			Name:   cl.Name,
			Grants: append([]string{}, s.Registrar.Rules().ShortGrants(cl.Grants)...),
			Scopes: append([]string{}, cl.Scopes...),
		}, nil
	})
}

// short serves an operation of /api/v1/client. Its callers may send the access token without a
// scheme.
func (s *Registrations) short(
	w http.ResponseWriter, r *http.Request, serve func(c *registrationCall) (any, error),
) {
	w.Header().Set("Cache-Control", "no-store")
	c := &registrationCall{w: w, r: r, id: client.ID(r.PathValue("id"))}
	err := s.Kit.Allow(w, r, RateRegistration, web.Subject{})
	if err == nil {
		token := r.Header.Get("Authorization")
		if strings.Contains(token, " ") {
			token = bearer(r)
		}
		c.who, err = s.registrant(r, token)
	}
	if err == nil && !c.who.Administrator {
		err = oauth.InvalidToken("Send an access token of an administrator.")
	}
	var doc any
	if err == nil {
		doc, err = serve(c)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, doc)
}
