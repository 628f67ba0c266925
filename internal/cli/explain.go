package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// explainCommand says why a request was refused.
type explainCommand struct {
	RequestID string `arg:"" name:"request-id" help:"The id that the refusal came with: X-Request-Id, or request_id in its body."`
}

// explanation is all that is known of a request.
type explanation struct {
	RequestID string               `json:"request_id"`
	Denial    *access.DenialRecord `json:"refused"` // by the gateway; null if it did not refuse it, or no longer knows
	Route     string               `json:"route_state"`
	Events    []explainedEvent     `json:"events"` // of the audit log, the oldest first
}

// explainedEvent is an event of the audit log in plain words.
type explainedEvent struct {
	eventView
	Explanation string `json:"explanation"` // "" if nothing was refused
	Remedy      string `json:"remedy"`
}

// Run looks among what the gateway keeps of refusals, and in the audit log.
func (f *explainCommand) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		x, err := explained(ctx, p, strings.TrimSpace(f.RequestID))
		if err != nil {
			return err
		}
		return c.show(x, x.print)
	})
}

func explained(ctx context.Context, p *Parts, id string) (*explanation, error) {
	for _, id := range slices.Compact([]string{id, strings.ToUpper(id)}) { // our own are in capitals, and read out on the telephone
		x, err := lookUp(ctx, p, id)
		if err != nil || x != nil {
			return x, err
		}
	}
	return nil, fault.New(fault.NotFound, "nothing is kept of a request %.64q: refusals of the gateway are kept for a day, other failures as long as the audit log; "+
		"check the id, look for it in the server's log, or send the request again and explain the new id", id)
}

// lookUp gives what is known of a request, or nil.
func lookUp(ctx context.Context, p *Parts, id string) (*explanation, error) {
	if id == "" {
		return nil, nil
	}
	x := &explanation{RequestID: id, Events: []explainedEvent{}}
	denial, err := p.DB.Denial(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
	case err != nil:
		return nil, err
	default:
		x.Denial, x.Route = denial, routeSince(p, denial)
	}
	events, err := p.DB.ListAudit(ctx, store.AuditQuery{RequestID: id})
	if err != nil {
		return nil, err
	}
	for i := range slices.Backward(events) {
		x.Events = append(x.Events, explainEvent(&events[i]))
	}
	if x.Denial == nil && len(x.Events) == 0 {
		return nil, nil
	}
	return x, nil
}

// routeSince says what has become of the route meanwhile: what was refused may pass by now.
func routeSince(p *Parts, r *access.DenialRecord) string {
	if r.Route == "" || strings.HasPrefix(r.Route, "file:") {
		return ""
	}
	stored := p.DB.Routes()
	i := slices.IndexFunc(stored, func(o access.Route) bool { return o.ID == r.Route })
	switch {
	case i < 0:
		return "deleted"
	case stored[i].UpdatedAt.After(r.At):
		return "changed"
	}
	return "unchanged"
}

func (x *explanation) print(s *sheet) {
	if x.Denial != nil {
		x.printDenial(s, x.Denial)
	}
	for i := range x.Events {
		if i > 0 || x.Denial != nil {
			s.line("")
		}
		x.Events[i].print(s)
	}
}

func (x *explanation) printDenial(s *sheet, r *access.DenialRecord) {
	s.line("Request %s was refused with %s.", x.RequestID, statusText(r.Status))
	s.pair("at", when{r.At}.String())
	s.pair("request", r.Method+" "+r.Host+r.Path)
	s.pair("from", r.IP)
	s.pair("route", routeText(r))
	s.pair("caller", callerText(&r.Caller))
	s.line("")
	s.line("%s", ruleText(&r.Denial))
	s.line("%s", r.Denial.Reason)
	s.pair("needed", strings.Join(r.Denial.Needed, " "))
	s.pair("found", strings.Join(r.Denial.Had, " "))
	if r.Denial.Remedy != "" {
		s.line("What would let it pass: %s", r.Denial.Remedy)
	}
	switch x.Route {
	case "changed":
		s.line("The route has been changed since; try again.")
	case "deleted":
		s.line("The route has been deleted since.")
	}
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return fmt.Sprint(status)
}

func routeText(r *access.DenialRecord) string {
	switch {
	case r.Route == "":
		return "none has this address"
	case r.RouteName == "" || r.Route == "file:"+r.RouteName:
		return r.Route
	}
	return r.RouteName + " (" + r.Route + ")"
}

// callerText is who called, and how that was known.
func callerText(c *access.RecordedCaller) string {
	ways := map[string]string{
		access.ByToken: "by an access token", access.ByForeign: "by a token of a foreign issuer", access.BySecret: "by its secret",
		access.ByClientID: "by X-Client-Id alone, which proves nothing", access.BySession: "by a browser session", access.ByApp: "by a browser app's session",
	}
	var who []string
	if c.Client != "" {
		who = append(who, "client "+c.Client)
	}
	if c.User != "" {
		who = append(who, "user "+c.User)
	}
	switch {
	case len(who) == 0 && ways[c.By] == "":
		return "nobody is known"
	case len(who) == 0:
		return "known " + ways[c.By]
	case ways[c.By] == "":
		return strings.Join(who, ", ")
	}
	return strings.Join(who, ", ") + ", known " + ways[c.By]
}

// ruleText names the rule and what it looks at.
func ruleText(r *access.RecordedDenial) string {
	looksAt := map[string]string{
		"credential": "who the caller says it is",
		"audience":   "the claim aud of the token",
		"issuer":     "the claim iss of the token",
		"scope":      "the claim scope of the token",
		"role":       "the roles of the user, or of a client that acts for itself",
		"client":     "the client that calls",
		"network":    "the address that the request comes from",
		"host":       "the host that was called",
		"acr":        "the claim acr: how strongly the person has signed in",
		"age":        "the claim auth_time: when the person last proved who they are",
		"method":     "the method of the request",
		"rate":       "how often the caller has called",
		"path":       "how the path is written",
		"route":      "which routes there are, and which of them the client may call",
	}
	if what := looksAt[r.Rule]; what != "" {
		return fmt.Sprintf("The rule %q did not hold. It looks at %s.", r.Rule, what)
	}
	return fmt.Sprintf("The rule %q did not hold.", r.Rule)
}

// explainEvent puts an event into plain words; one that is no refusal is shown without.
func explainEvent(e *audit.Event) explainedEvent {
	x := explainedEvent{eventView: viewEvent(e)}
	words, ok := reasonWords()[e.Reason]
	switch {
	case ok:
	case e.Type == audit.AuthorizationCodeReplayed:
		words = reasonText{"The authorization code had been used before. Everything that it gave has been ended.", "Start a new authorization, and redeem each code once; if the client does so, somebody else has seen the code."}
	case e.Type == audit.RefreshTokenReplayed:
		words = reasonText{"The refresh token had been used before, so everything that it stood for has been ended.", "Let the user sign in again, and store each new refresh token before the next request; if the client does so, somebody else has the token."}
	case e.Type == audit.ConsentDenied, e.Type == audit.DeviceCodeDenied:
		words = reasonText{"The person did not agree.", "Ask again, for less."}
	case e.Type == audit.LoginFailed, e.Type == audit.ClientAuthFailed:
		words = reasonText{fmt.Sprintf("It was refused because of %s.", e.Reason), ""}
	}
	x.Explanation, x.Remedy = words.what, words.remedy
	if x.Remedy != "" && e.Client != "" {
		x.Remedy = strings.ReplaceAll(x.Remedy, "CLIENT", e.Client)
	}
	if x.Remedy != "" && e.User != "" {
		x.Remedy = strings.ReplaceAll(x.Remedy, "USER", e.User)
	}
	return x
}

func (e *explainedEvent) print(s *sheet) {
	if e.Explanation == "" {
		s.line("%s was recorded; it is no refusal.", e.Type)
	} else {
		s.line("%s: %s", e.Type, e.Explanation)
	}
	s.pair("at", e.At.String())
	s.pair("from", e.IP)
	s.pair("about", e.about())
	if e.Remedy != "" {
		s.line("What would let it pass: %s", e.Remedy)
	}
}

// reasonText is a reason of the audit log in words. CLIENT and USER stand for the ids.
type reasonText struct{ what, remedy string }

// reasonWords are the reasons of failed sign-ins and client authentications.
func reasonWords() map[string]reasonText {
	const (
		show    = "Compare with gatehouse client show CLIENT."
		clock   = "Set the clock of the client's machine, and make a new assertion for each request."
		again   = "Make a new assertion for each request, as RFC 7523 says."
		newCode = "Enter the code that the app shows now; if it stays wrong, set the clock of the phone."
	)
	return map[string]reasonText{
		"unknown_client":  {"There is no client of this id.", "Check client_id; gatehouse client list shows those there are."},
		"client_disabled": {"The client is disabled.", "Run gatehouse client update CLIENT --no-disabled."},
		"wrong_method":    {"The client did not authenticate in the way that it is registered with.", show},
		"wrong_secret":    {"The client's secret is wrong.", "Give the client its newest secret; make one with gatehouse client rotate-secret CLIENT."},
		"no_secret":       {"The client has no secret.", "Make one with gatehouse client rotate-secret CLIENT."},
		"secret_expired":  {"The client's secret has been replaced, and its time is over.", "Give the client its newest secret; make one with gatehouse client rotate-secret CLIENT."},

		"assertion_malformed":       {"The client's assertion is no signed JWT.", again},
		"assertion_replayed":        {"The client's assertion was used before.", "Give each assertion a jti of its own, and send it once."},
		"assertion_wrong_issuer":    {"The claims iss and sub of the client's assertion are not its id.", "Set both to the client_id (RFC 7523 section 3)."},
		"assertion_wrong_audience":  {"The claim aud of the client's assertion is not this server.", "Set it to the issuer's address."},
		"assertion_without_jti":     {"The client's assertion has no jti.", "Give each assertion a jti of its own."},
		"assertion_expired":         {"The client's assertion has expired.", clock},
		"assertion_lives_too_long":  {"The client's assertion lives too long.", "Let it expire a few minutes after it is made."},
		"assertion_not_yet_valid":   {"The claim nbf of the client's assertion lies in the future.", clock},
		"assertion_from_the_future": {"The claim iat of the client's assertion lies in the future.", clock},
		"assertion_signature":       {"No registered key of the client fits its assertion's signature.", "Register the key that it signs with: gatehouse client update CLIENT --jwks FILE."},
		"no_keys_registered":        {"The client has no keys.", "Register them: gatehouse client update CLIENT --jwks FILE."},
		"jwks_uri_unreachable":      {"The client's keys could not be read from its jwks_uri.", show},
		"jwks_unusable":             {"The client's keys cannot be used.", show},

		"unknown_user":         {"There is no such user.", "Check the name or address that was typed; gatehouse user list shows those there are."},
		"wrong_password":       {"The password is wrong.", "Type it again, or run gatehouse user set-password USER."},
		"unusable_hash":        {"The stored password cannot be checked.", "Run gatehouse user set-password USER."},
		"disabled":             {"The user is disabled.", "Run gatehouse user enable USER, if that was a mistake."},
		"locked":               {"The account was locked after too many failures.", "Wait until the lock ends, or run gatehouse user unlock USER."},
		"too_many_failures":    {"There were too many failures, so the account is locked now.", "Wait until the lock ends, or run gatehouse user unlock USER."},
		"wrong_code":           {"The one-time code is wrong.", newCode},
		"replayed_code":        {"The one-time code was used before.", "Wait for the next one."},
		"enroll_wrong_code":    {"The code that should prove the new second factor is wrong.", newCode},
		"interaction_required": {"The account needs a step in a browser, which the password grant does not have.", "Sign in at the login page, or let the client use authorization_code."},
	}
}
