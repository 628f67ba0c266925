package cli

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// secretView is all that may be shown of a client's secret.
type secretView struct {
	ID        string    `json:"id"`
	CreatedAt timestamp `json:"created_at"`
	ExpiresAt timestamp `json:"expires_at"`
}

// String returns the dates of the secret.
func (v secretView) String() string {
	if v.ExpiresAt.IsZero() {
		return "created " + v.CreatedAt.String()
	}
	return "created " + v.CreatedAt.String() + ", valid until " + v.ExpiresAt.String()
}

// secretViews returns the secrets of a client that have not expired.
func secretViews(cl *client.Client, now time.Time) []secretView {
	out := []secretView{}
	for i := range cl.Secrets {
		if s := &cl.Secrets[i]; s.Active(now) {
			out = append(out, secretView{s.ID, timestamp{s.CreatedAt}, timestamp{s.ExpiresAt}})
		}
	}
	return out
}

// clientMembers returns a client as JSON: never a hash.
func clientMembers(fields []client.Field, cl *client.Client, now time.Time) object {
	doc := append(object{{"client_id", cl.ID}}, fieldMembers(fields, cl)...)
	return append(doc, object{
		{"secrets", secretViews(cl, now)},
		{"created_at", timestamp{cl.CreatedAt}},
		{"updated_at", timestamp{cl.UpdatedAt}},
	}...)
}

// showClient prints a registration.
func (c *call) showClient(cl *client.Client) error {
	fields := client.Fields(c.Rules)
	return c.show(clientMembers(fields, cl, c.Now()), func(s *table) {
		s.pair("client_id", string(cl.ID))
		printFields(s, fields, cl)
		for _, v := range secretViews(cl, c.Now()) {
			s.pair("secret", v.String())
		}
		s.pair("created_at", timestamp{cl.CreatedAt}.String())
		s.pair("updated_at", timestamp{cl.UpdatedAt}.String())
	})
}

// printSecret shows a new secret, and when the one before it expires.
func printSecret(s *table, secret string, previousExpires time.Time) {
	s.pair("client_secret", secret)
	s.pair("previous_secret_expires_at", timestamp{previousExpires}.String())
	if secret != "" {
		s.line("Save this secret now: it is not shown again.")
	}
}

func clientType(cl *client.Client) string {
	if cl.Public {
		return "public"
	}
	return "confidential"
}

func clientState(cl *client.Client) string {
	if cl.Disabled {
		return "disabled"
	}
	return "active"
}
