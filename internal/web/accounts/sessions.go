package accounts

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// maxEnded bounds how many sessions one request ends.
const maxEnded = 100

func (s *Server) refresh(w http.ResponseWriter, c *call) error {
	b, err := c.read("token")
	if err != nil {
		return err
	}
	token, err := b.text("token")
	if err != nil {
		return err
	}
	_, pair, err := s.Login.Refresh(c.r.Context(), c.visit(), c.client, token)
	if err != nil {
		return refreshProblem(err)
	}
	write(w, c.r, http.StatusOK, sessionAnswer{"session", pair.Token, pair.Refresh})
	return nil
}

// refreshProblem returns the error of a refresh token that is rejected.
func refreshProblem(err error) error {
	code := ""
	switch fault.Reason(err) {
	case login.ReasonTokenInvalid:
		code = codeRefreshInvalid
	case login.ReasonSessionExpired:
		code = codeRefreshExpired
	case login.ReasonSessionInvalidated:
		code = codeRefreshInvalidated
	default:
		return err
	}
	return newProblem(http.StatusUnauthorized, code, fault.Text(err))
}

// logout ends the session of the caller, or the sessions that the body names.
func (s *Server) logout(w http.ResponseWriter, c *call) error {
	list, err := c.readEnded()
	if err != nil {
		return err
	}
	if list == nil {
		if c.token == "" {
			return newProblem(http.StatusBadRequest, codeNoSession,
				"The request names no session. Send a session token, or name what to end in the body.")
		}
		err := s.Login.EndByToken(c.r.Context(), c.visit(), c.client, c.token)
		if err != nil {
			return err
		}
		return writeNothing(w, c)
	}
	for _, x := range list {
		if err := s.end(c, x); err != nil {
			return err
		}
	}
	return writeNothing(w, c)
}

// ended names a session that a request ends.
type ended struct{ kind, value string }

// readEnded returns what the body of a request names: a list, alone or as `data`. It returns nil
// without a body.
func (c *call) readEnded() ([]ended, error) {
	if c.r.ContentLength == 0 {
		return nil, nil
	}
	raw, err := c.readJSON()
	if err != nil {
		return nil, err
	}
	if b, err := object(raw); err == nil {
		inner, ok := b["data"]
		switch {
		case len(b) == 0 || ok && string(inner) == "null":
			return nil, nil
		case !ok || len(b) != 1:
			return nil, badBody("The body must be a list of what to end, or hold one as data.")
		}
		raw = inner
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, badBody("The body must be a list of what to end, or hold one as data.")
	}
	if len(items) > maxEnded {
		return nil, badBody("The list has more than %d entries.", maxEnded)
	}
	list := make([]ended, 0, len(items))
	for _, item := range items {
		x, err := readItem(item)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}

func readItem(raw []byte) (ended, error) {
	b, err := object(raw)
	if err != nil {
		return ended{}, err
	}
	in, err := b.texts("t", "type", "value")
	if err != nil {
		return ended{}, err
	}
	x := ended{in["t"], in["value"]}
	if x.kind == "" {
		x.kind = in["type"]
	}
	switch x.kind {
	case "session-tokens", "refresh-tokens", "sessions":
	default:
		return ended{}, invalidField("t", "This must be session-tokens, refresh-tokens or sessions.")
	}
	if x.value == "" {
		return ended{}, invalidField("value", "Enter the token, or the id of the session.")
	}
	return x, nil
}

// end ends one session. One that has ended before is not an error. To end a session by its id, the
// caller must be its person.
func (s *Server) end(c *call, x ended) error {
	if x.kind == "sessions" {
		if c.user == nil {
			return newProblem(http.StatusUnauthorized, codeSessionRequired,
				"To end a session by its id, send a session token of the same person.")
		}
		_, err := s.Account.EndSession(c.r.Context(), c.caller(), identity.SessionID(x.value))
		return err
	}
	err := s.Login.EndByToken(c.r.Context(), c.visit(), c.client, x.value)
	switch fault.Reason(err) {
	case login.ReasonSessionExpired, login.ReasonSessionInvalidated:
		return nil
	}
	return err
}

// sessionView is a session of the caller.
type sessionView struct {
	ID            string `json:"id"`
	Type          string `json:"type"`
	UserID        string `json:"userId"`
	UserAgent     string `json:"userAgent"`
	IP            string `json:"ip"`
	InvalidatedMs *int64 `json:"invalidatedMs"`
	CreatedMs     *int64 `json:"createdMs"`
	ExpiresMs     *int64 `json:"expiresMs"`
	Current       bool   `json:"current"`
}

// listSessions lists the active sessions of the caller, in browsers and in programs.
func (s *Server) listSessions(w http.ResponseWriter, c *call) error {
	if err := c.own(); err != nil {
		return err
	}
	f, err := readFilter(c.r.URL.Query().Get("filter"))
	if err != nil {
		return err
	}
	all, err := s.Account.Access(c.r.Context(), c.caller())
	if err != nil {
		return err
	}
	var out []sessionView
	for _, x := range all.Sessions {
		if f.user != "" && f.user != "current" && f.user != string(x.User) || !f.created(x.CreatedAt) {
			continue
		}
		out = append(out, sessionView{
			ID:        string(x.ID),
			Type:      "sessions",
			UserID:    string(x.User),
			UserAgent: x.Agent,
			IP:        x.IP,
			CreatedMs: millis(x.CreatedAt),
			ExpiresMs: millis(x.ExpiresAt),
			Current:   x.Current,
		})
	}
	return writeAll(w, c, out)
}

// filter selects sessions.
type filter struct {
	user string
	op   string // "" selects all times
	at   int64
}

// readFilter reads the parameter `filter`: a JSON object with `userId`, and `createdMs` as an
// operator and a value.
func readFilter(raw string) (f filter, err error) {
	if raw == "" {
		return f, nil
	}
	bad := invalidField("filter", `This must be a JSON object such as {"createdMs":{"op":"gt","val":0}}.`)
	b, err := object([]byte(raw))
	if err != nil {
		return f, bad
	}
	for name, value := range b {
		switch name {
		case "userId":
			err = json.Unmarshal(value, &f.user)
		case "createdMs":
			var created struct {
				Op  string `json:"op"`
				Val int64  `json:"val"`
			}
			err = json.Unmarshal(value, &created)
			f.op, f.at = created.Op, created.Val
		default:
			err = bad
		}
		if err != nil {
			return f, bad
		}
	}
	switch f.op {
	case "", "lt", "gt", "eq", "lte", "gte", "ne":
		return f, nil
	}
	return f, bad
}

// created reports whether the filter selects a time.
func (f filter) created(t time.Time) bool {
	ms := t.UnixMilli()
	switch f.op {
	case "lt":
		return ms < f.at
	case "gt":
		return ms > f.at
	case "eq":
		return ms == f.at
	case "lte":
		return ms <= f.at
	case "gte":
		return ms >= f.at
	case "ne":
		return ms != f.at
	}
	return true
}
