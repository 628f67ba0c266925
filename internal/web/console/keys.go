package console

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// keySection lists the keys that sign tokens.
func (s *Server) keySection() section {
	return section{
		path:  "/keys",
		name:  "Signing keys",
		icon:  "key",
		group: "System",
		scope: admin.ScopeKeysRead,
		routes: append([]route{
			{"GET /admin/keys", []string{"Keys"}, s.showKeys},
			{"GET /admin/keys/rotate", nil, s.showRotate},
			{"POST /admin/keys/rotate", []string{"RotateKey"}, s.postRotate},
		}, actionRoutes("/admin/keys/{id}", s.retireKeyAction(), s.loadKey)...),
		views: []View{&KeysView{}, &RotateView{}, &ConfirmView{}},
		notes: map[string]string{
			"rotated": "The new key is published. It signs from the time in the list.",
			"retired": "The key is withdrawn. No token that it signed is valid any more.",
		},
	}
}

// KeysView lists keys.
type KeysView struct {
	Base
	Table Table
	Same  Same
}

// Page names the template.
func (*KeysView) Page() string { return "keys" }

func (s *Server) showKeys(w http.ResponseWriter, r *http.Request, q *request) error {
	keys, err := s.ops.Keys(r.Context(), q.actor)
	if err != nil {
		return err
	}
	v := &KeysView{Base: s.begin(r, q, "Signing keys")}
	v.Lead = "Apps check the signatures of tokens with these keys, from " + s.cfg.Issuer + "/.well-known/jwks.json"
	write := q.actor.Can(admin.ScopeKeysWrite)
	if write {
		v.Primary = &Link{"Rotate", Root + "/keys/rotate"}
	}
	v.Table = Table{
		Caption: "Signing keys",
		Columns: []Column{{Name: "Key"}, {Name: "State"}, {Name: "Signs from", Wide: true}, {Name: "Published until", Wide: true}},
	}
	for i := range keys {
		k := &keys[i]
		row := Row{ID: k.ID, Name: k.ID, Cells: []Cell{
			{Text: k.ID, Code: true, Sub: k.Alg},
			keyState(k.State(q.now)),
			v.timeCell(k.ActiveAt, ""),
			v.timeCell(k.ExpiresAt, "Until it is rotated"),
		}}
		if write {
			row.Links = []Link{{"Withdraw", at("/keys", k.ID, "retire")}}
		}
		v.Table.Rows = append(v.Table.Rows, row)
	}
	v.Same = s.same("GET", "/api/v1/keys", nil, "key", "list")
	return s.show(w, http.StatusOK, v)
}

func keyState(state string) Cell {
	switch state {
	case "active":
		return badgeCell("good", "Signs")
	case "next":
		return badgeCell("warn", "Next")
	case "retired":
		return badgeCell("plain", "Retired")
	}
	return badgeCell("plain", state)
}

// RotateView makes a new key. The fields are `alg` and `now`.
type RotateView struct {
	Base
	Algorithms []Choice
	Back       Link
	Same       Same
}

// Page names the template.
func (*RotateView) Page() string { return "rotate" }

// publishAhead is how long a new key is published before it signs.
const publishAhead = 10 * time.Minute

func (s *Server) rotateView(r *http.Request, q *request) *RotateView {
	v := &RotateView{Base: s.begin(r, q, "Rotate the signing key"), Back: Link{"Signing keys", Root + "/keys"}}
	v.Crumbs = []Link{v.Back}
	alg := q.form.Get("alg")
	v.Algorithms = []Choice{{Value: "", Text: "That of the settings", Chosen: alg == ""}}
	for _, name := range jose.Algorithms() {
		v.Algorithms = append(v.Algorithms, Choice{Value: name, Text: name, Chosen: alg == name})
	}
	args := []string{"key", "rotate", "--alg=" + alg}
	body := map[string]any{}
	if alg != "" {
		body["alg"] = alg
	}
	if q.form.Get("now") != "" {
		args, body["now"] = append(args, "--now"), true
	}
	v.Same = s.same("POST", "/api/v1/keys/rotate", body, args...)
	return v
}

func (s *Server) showRotate(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeKeysWrite); err != nil {
		return err
	}
	return s.show(w, http.StatusOK, s.rotateView(r, q))
}

func (s *Server) postRotate(w http.ResponseWriter, r *http.Request, q *request) error {
	_, err := s.ops.RotateKey(r.Context(), q.actor, admin.KeyRotation{
		Algorithm:    q.form.Get("alg"),
		Now:          q.form.Get("now") != "",
		PublishAhead: publishAhead,
	})
	if err == nil {
		return seeOther(w, r, Root+"/keys?done=rotated")
	}
	v := s.rotateView(r, q)
	if err := retry(&v.Base, q, err); err != nil {
		return err
	}
	return s.show(w, v.status(), v)
}

func (s *Server) loadKey(r *http.Request, q *request) (*admin.KeyUse, error) {
	k, err := s.ops.RetirableKey(r.Context(), q.actor, r.PathValue("id"))
	return &k, err
}

func (s *Server) retireKeyAction() action[*admin.KeyUse] {
	return action[*admin.KeyUse]{
		server: s, ops: []string{"RetirableKey", "RetireKey"},
		name: "retire", title: "Withdraw a key", button: "Withdraw the key now", danger: true,
		text: func(k *admin.KeyUse) string {
			return "Withdraws key " + k.ID + " (" + k.Alg + ") at once. Do this if the key may have leaked. " +
				"After a rotation keys are withdrawn by themselves, when no token needs them any more."
		},
		ends: keyEnds,
		same: func(k *admin.KeyUse, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/keys/"+url.PathEscape(k.ID), nil, "key", "retire", k.ID, "--yes")
		},
		do: func(ctx context.Context, q *request, k *admin.KeyUse) error {
			_, err := s.ops.RetireKey(ctx, q.actor, k.ID)
			return err
		},
		done: func(*admin.KeyUse) string { return Root + "/keys?done=retired" },
		back: func(k *admin.KeyUse) Link { return Link{"Signing keys", Root + "/keys"} },
		at:   func(k *admin.KeyUse) string { return at("/keys", k.ID, "retire") },
	}
}

// keyEnds returns what the withdrawal of a key ends, as far as anybody can know: the server keeps
// no list of the tokens that a key has signed.
func keyEnds(k *admin.KeyUse) []string {
	const cached = "Programs that have cached the key set may accept such tokens for as long as they cache it."
	if k.TokensUntil.IsZero() {
		return []string{"No token that it signed is valid now.", "This cannot be undone."}
	}
	out := []string{"Every token that it signed stops working. The last of them would be valid until " +
		k.TokensUntil.UTC().Format("2 Jan 2006, 15:04 MST") + " at the latest."}
	if k.Issued >= 0 {
		out = append(out, "How many these are is not recorded. In the hours that they can be from, tokens were issued "+
			count(k.Issued, "time")+", by all keys.")
	}
	return append(out, cached, "This cannot be undone.")
}
