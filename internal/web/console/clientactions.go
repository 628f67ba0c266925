package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// clientActionRoutes returns the routes of what can be done to a client.
func (s *Server) clientActionRoutes() []route {
	const path = "/admin/clients/{client}"
	ask := func(a action[*client.Client]) handler {
		return func(w http.ResponseWriter, r *http.Request, q *request) error {
			c, err := s.loadClient(r, q)
			if err != nil {
				return err
			}
			return a.show(w, r, q, c)
		}
	}
	return slices.Concat(
		[]route{
			{"GET " + path + "/secret", nil, ask(s.addSecretAction())},
			{"POST " + path + "/secret", []string{"AddSecret"}, s.postAddSecret},
			{"GET " + path + "/rotate", nil, ask(s.rotateSecretAction())},
			{"POST " + path + "/rotate", []string{"RotateSecret"}, s.postRotateSecret},
			{"POST " + path + "/enable", []string{"UpdateClient"}, s.postEnableClient},
		},
		actionRoutes(path, s.disableClientAction(), s.loadClient),
		actionRoutes(path, s.oldSecretsAction(), s.loadClient),
		actionRoutes(path, s.clientTokensAction(), s.loadClient),
		actionRoutes(path, s.deleteClientAction(), s.loadClient),
		actionRoutes(path+"/grants/{grant}", s.revokeGrantAction(), s.loadGrant),
		actionRoutes(path+"/secrets/{secret}", s.removeSecretAction(), s.loadSecret),
	)
}

// clientActionsOf returns what can be done to a client now.
func (s *Server) clientActionsOf(c *client.Client) (links []Link, buttons []Button) {
	if c.Disabled {
		buttons = []Button{{Text: "Enable", Action: at("/clients", string(c.ID), "enable")}}
	}
	for _, a := range []action[*client.Client]{
		s.rotateSecretAction(), s.addSecretAction(), s.oldSecretsAction(), s.clientTokensAction(),
		s.disableClientAction(), s.deleteClientAction(),
	} {
		if a.offers == nil || a.offers(c) {
			links = append(links, Link{a.link, at("/clients", string(c.ID), a.name)})
		}
	}
	return links, buttons
}

func clientLink(c *client.Client) Link { return Link{clientName(c), at("/clients", string(c.ID))} }

func clientDone(done string) func(*client.Client) string {
	return func(c *client.Client) string { return with(at("/clients", string(c.ID)), "done", done) }
}

func clientAPI(c *client.Client, more ...string) string {
	return strings.Join(append([]string{"/api/v1/clients", url.PathEscape(string(c.ID))}, more...), "/")
}

// secondsOf reads a duration of a form; an empty one is zero.
func secondsOf(q *request, name string) (time.Duration, error) {
	value := strings.TrimSpace(q.form.Get(name))
	if value == "" {
		return 0, nil
	}
	d, err := field.ParseDuration(value)
	if err != nil {
		return 0, fault.InvalidField(name, "%v", err)
	}
	return d, nil
}

func (s *Server) addSecretAction() action[*client.Client] {
	return action[*client.Client]{
		server: s,
		name:   "secret", link: "Add secret", title: "Add a secret", button: "Add secret",
		offers: (*client.Client).HasSecret,
		text: func(c *client.Client) string {
			return "Adds a secret of " + clientName(c) + " beside those that it has. All of them work."
		},
		inputs: func(b Base) ([]Input, error) {
			in, err := newInput(b, "expires_in", "Valid for", "plain", "autocomplete=off",
				"hint=Such as 90d. Empty: as long as the server's settings say, or until it is removed.")
			return []Input{in}, err
		},
		same: func(c *client.Client, form url.Values) Same {
			body := map[string]any{}
			if d, err := field.ParseDuration(form.Get("expires_in")); err == nil {
				body["expires_in"] = int64(d / time.Second)
			}
			return s.same("POST", clientAPI(c, "secrets"), body,
				"client", "secret", "add", string(c.ID), "--expires="+form.Get("expires_in"))
		},
		back: clientLink,
	}
}

func (s *Server) postAddSecret(w http.ResponseWriter, r *http.Request, q *request) error {
	a := s.addSecretAction()
	ttl, err := secondsOf(q, "expires_in")
	if err == nil {
		var out *admin.AddedSecret
		if out, err = s.ops.AddSecret(r.Context(), q.actor, r.PathValue("client"), ttl); err == nil {
			v := &ClientResultView{
				Base:   s.begin(r, q, "The secret was added"),
				ID:     string(out.Client.ID),
				Secret: out.Secret,
			}
			v.Ends = v.When(out.ExpiresAt)
			return s.writeClientResult(w, out.Client, v, nil)
		}
	}
	return s.retryClient(w, r, q, a, err)
}

// retryClient shows a question about a client again with what is wrong with its form.
func (s *Server) retryClient(
	w http.ResponseWriter, r *http.Request, q *request, a action[*client.Client], err error,
) error {
	c, readErr := s.loadClient(r, q)
	if readErr != nil {
		return readErr
	}
	b := s.begin(r, q, a.title)
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return a.write(w, q, c, b)
}

func (s *Server) rotateSecretAction() action[*client.Client] {
	return action[*client.Client]{
		server: s,
		name:   "rotate", link: "Rotate secret", title: "Rotate the secret", button: "Make a new secret",
		offers: (*client.Client).HasSecret,
		text: func(c *client.Client) string {
			return "Makes a new secret of " + clientName(c) + ". The one before it works for a while, so " +
				"that you can replace it in the app."
		},
		ends: func(c *client.Client) []string {
			if n := len(c.Secrets); n > 1 {
				return []string{count(n-1, "older secret") + " will end at once."}
			}
			return nil
		},
		inputs: func(b Base) ([]Input, error) {
			in, err := newInput(b, "grace", "The old secret works for", "plain", "autocomplete=off",
				"hint=Such as 24h. 0 ends it now: do this if it may have leaked. Empty: 24 hours.")
			return []Input{in}, err
		},
		same: func(c *client.Client, form url.Values) Same {
			body := map[string]any{"rotate": true}
			if d, err := graceOf(form.Get("grace")); err == nil {
				body["grace_period"] = int64(d / time.Second)
			}
			return s.same("POST", clientAPI(c, "secrets"), body,
				"client", "rotate-secret", string(c.ID), "--grace="+form.Get("grace"))
		},
		back: clientLink,
	}
}

// usualGrace is how long a secret works after a rotation where the form says nothing.
const usualGrace = 24 * time.Hour

func graceOf(value string) (time.Duration, error) {
	if strings.TrimSpace(value) == "" {
		return usualGrace, nil
	}
	d, err := field.ParseDuration(value)
	if err != nil {
		return 0, fault.InvalidField("grace", "%v", err)
	}
	return d, nil
}

func (s *Server) postRotateSecret(w http.ResponseWriter, r *http.Request, q *request) error {
	grace, err := graceOf(q.form.Get("grace"))
	if err == nil {
		var out *admin.ChangedClient
		if out, err = s.ops.RotateSecret(r.Context(), q.actor, r.PathValue("client"), grace); err == nil {
			return s.showClientResult(w, r, q, out, "rotated")
		}
	}
	return s.retryClient(w, r, q, s.rotateSecretAction(), err)
}

func (s *Server) oldSecretsAction() action[*client.Client] {
	return action[*client.Client]{
		server: s, ops: []string{"RemoveOldSecrets"},
		name: "old-secrets", link: "Remove old secrets", title: "Remove old secrets", button: "Remove all " +
			"but the newest", danger: true,
		offers: func(c *client.Client) bool { return len(c.Secrets) > 1 },
		text: func(c *client.Client) string {
			return "Removes all secrets of " + clientName(c) + " but the newest. Whoever uses an older " +
				"one can no longer authenticate."
		},
		same: func(c *client.Client, _ url.Values) Same {
			return s.same("DELETE", clientAPI(c, "secrets"), nil,
				"client", "secret", "remove-old", string(c.ID), "--yes")
		},
		do: func(ctx context.Context, q *request, c *client.Client) error {
			_, err := s.ops.RemoveOldSecrets(ctx, q.actor, string(c.ID))
			return err
		},
		done: clientDone("old"), back: clientLink,
	}
}

func (s *Server) clientTokensAction() action[*client.Client] {
	return action[*client.Client]{
		server: s, ops: []string{"RevokeClientTokens"},
		name: "revoke-tokens", link: "Revoke tokens", title: "Revoke all tokens", button: "Revoke all tokens", danger: true,
		text: func(c *client.Client) string {
			return "Revokes all tokens of " + clientName(c) + ". The client, its secrets and people's consent stay."
		},
		ends: func(*client.Client) []string {
			return []string{
				"Everybody who uses the app, and every device, must sign in again.",
				"APIs that check tokens by their signature alone accept them until they expire.",
			}
		},
		same: func(c *client.Client, _ url.Values) Same {
			return s.same("POST", clientAPI(c, "revoke_tokens"), nil, "client", "revoke-tokens", string(c.ID), "--yes")
		},
		do: func(ctx context.Context, q *request, c *client.Client) error {
			_, err := s.ops.RevokeClientTokens(ctx, q.actor, string(c.ID))
			return err
		},
		done: clientDone("tokens"), back: clientLink,
	}
}

// switchClient disables or enables a client.
func (s *Server) switchClient(ctx context.Context, q *request, ref string, disabled bool) error {
	p := admin.ClientPatch{Values: client.Client{Disabled: disabled}, Names: []string{"disabled"}}
	_, err := s.ops.UpdateClient(ctx, q.actor, ref, p)
	return err
}

func (s *Server) postEnableClient(w http.ResponseWriter, r *http.Request, q *request) error {
	id := r.PathValue("client")
	if err := s.switchClient(r.Context(), q, id, false); err != nil {
		return err
	}
	return seeOther(w, r, with(at("/clients", id), "done", "enabled"))
}

func (s *Server) disableClientAction() action[*client.Client] {
	return action[*client.Client]{
		server: s, ops: []string{"UpdateClient"},
		name: "disable", link: "Disable", title: "Disable client", button: "Disable client", danger: true,
		offers: func(c *client.Client) bool { return !c.Disabled },
		text: func(c *client.Client) string {
			return "Every request of " + clientName(c) + " will be rejected until you enable it again. " +
				"Nothing is deleted."
		},
		same: func(c *client.Client, _ url.Values) Same {
			return s.same("PATCH", clientAPI(c), map[string]any{"disabled": true},
				"client", "update", string(c.ID), "--disabled")
		},
		do: func(ctx context.Context, q *request, c *client.Client) error {
			return s.switchClient(ctx, q, string(c.ID), true)
		},
		done: clientDone("disabled"), back: clientLink,
	}
}

func (s *Server) deleteClientAction() action[*client.Client] {
	return action[*client.Client]{
		server: s, ops: []string{"DeleteClient"},
		name: "delete", link: "Delete", title: "Delete client", button: "Delete client", danger: true,
		text: func(c *client.Client) string {
			return "Deletes " + clientName(c) + " (" + string(c.ID) + "). This cannot be undone."
		},
		ends: func(c *client.Client) []string {
			out := []string{"All its tokens are revoked, and nobody can sign in to it any more."}
			if n := len(c.Secrets); n > 0 {
				out = append(out, count(n, "secret")+" will stop working.")
			}
			return append(out, "Routes that name it will reject its requests.", "The audit log stays.")
		},
		inputs: func(b Base) ([]Input, error) {
			in, err := newInput(b, "confirm", "Type the name or the ID of the client", "plain", "required", "autocomplete=off")
			return []Input{in}, err
		},
		same: func(c *client.Client, _ url.Values) Same {
			return s.same("DELETE", clientAPI(c), nil, "client", "delete", string(c.ID), "--yes")
		},
		do: func(ctx context.Context, q *request, c *client.Client) error {
			typed := strings.TrimSpace(q.form.Get("confirm"))
			if typed == "" || typed != strings.TrimSpace(c.Name) && typed != string(c.ID) {
				return fault.InvalidField("confirm", "Type %s to delete this client.", clientName(c))
			}
			_, err := s.ops.DeleteClient(ctx, q.actor, string(c.ID), 0)
			return err
		},
		done: func(*client.Client) string { return with(Root+"/clients", "done", "deleted") },
		back: clientLink,
	}
}

// clientSecret is a secret of a client.
type clientSecret struct {
	client *client.Client
	secret *client.Secret
}

func (s *Server) loadSecret(r *http.Request, q *request) (*clientSecret, error) {
	c, err := s.loadClient(r, q)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.Secrets, func(x client.Secret) bool { return x.ID == r.PathValue("secret") })
	if i < 0 {
		return nil, fault.New(fault.NotFound, "This client has no such secret. It may have been removed already.")
	}
	return &clientSecret{c, &c.Secrets[i]}, nil
}

func (s *Server) removeSecretAction() action[*clientSecret] {
	last := func(x *clientSecret, now time.Time) bool {
		return x.client.HasSecret() && x.secret.Active(now) && x.client.ActiveSecrets(now) == 1
	}
	return action[*clientSecret]{
		server: s, ops: []string{"RemoveSecret"},
		name: "remove", title: "Remove secret", button: "Remove secret", danger: true,
		text: func(x *clientSecret) string {
			return "Removes the secret " + x.secret.ID + " of " + clientName(x.client) +
				". Whoever uses it can no longer authenticate. Tokens that it got stay."
		},
		inputs: func(b Base) ([]Input, error) {
			in, err := newCheck(b, "force", "Remove it even if it is the only active one",
				"hint=The client could not authenticate any more.")
			return []Input{in}, err
		},
		same: func(x *clientSecret, form url.Values) Same {
			args := []string{"client", "secret", "remove", string(x.client.ID), x.secret.ID, "--yes"}
			path := clientAPI(x.client, "secrets", url.PathEscape(x.secret.ID))
			if form.Get("force") != "" {
				args, path = append(args, "--force"), path+"?force=true"
			}
			return s.same("DELETE", path, nil, args...)
		},
		do: func(ctx context.Context, q *request, x *clientSecret) error {
			force := q.form.Get("force") != ""
			if last(x, q.now) && !force {
				return fault.InvalidField("force", "This is the only active secret. Add another one "+
					"first, or check this box.")
			}
			_, err := s.ops.RemoveSecret(ctx, q.actor, string(x.client.ID), x.secret.ID, force)
			return err
		},
		done: func(x *clientSecret) string { return with(at("/clients", string(x.client.ID)), "done", "removed") },
		back: func(x *clientSecret) Link { return clientLink(x.client) },
		at: func(x *clientSecret) string {
			return at("/clients", string(x.client.ID), "secrets", url.PathEscape(x.secret.ID), "remove")
		},
	}
}
