package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// explainCommand explains why a request was denied.
type explainCommand struct {
	RequestID string `arg:"" name:"request-id" help:"The id in the header X-Request-Id, or request_id in the body."`
}

// explanation is what is known of a request.
type explanation struct {
	RequestID string               `json:"request_id"`
	Denial    *access.DenialRecord `json:"refused"` // by the gateway; null if it did not deny the request
	Route     admin.RouteState     `json:"route_state"`
	Events    []explainedEvent     `json:"events"` // of the audit log, oldest first
}

// explainedEvent is an event of the audit log with an explanation.
type explainedEvent struct {
	eventView
	Explanation string `json:"explanation"` // "" if the event is not a failure
	Remedy      string `json:"remedy"`
}

// Run prints the gateway's denial of the request and its events in the audit log.
func (f *explainCommand) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		found, err := ops.Explain(ctx, a, f.RequestID)
		if err != nil {
			return err
		}
		x := &explanation{
			RequestID: found.RequestID,
			Denial:    found.Denial,
			Route:     found.RouteState,
			Events:    []explainedEvent{},
		}
		for i := range found.Events {
			x.Events = append(x.Events, explainEvent(&found.Events[i]))
		}
		return c.show(x, x.print)
	})
}

func (x *explanation) print(s *table) {
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

func (x *explanation) printDenial(s *table, r *access.DenialRecord) {
	s.line("Request %s was denied with %s.", x.RequestID, statusText(r.Status))
	s.pair("at", timestamp{r.At}.String())
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
		s.line("To fix: %s", r.Denial.Remedy)
	}
	switch x.Route {
	case admin.RouteChanged:
		s.line("The route has been changed since; try again.")
	case admin.RouteDeleted:
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
		return "no route has this address"
	case r.RouteName == "" || r.Route == "file:"+r.RouteName:
		return r.Route
	}
	return r.RouteName + " (" + r.Route + ")"
}

// callerText returns who called and how they identified themselves.
func callerText(c *access.RecordedCaller) string {
	ways := map[string]string{
		access.ByToken:    "by an access token",
		access.ByForeign:  "by a token of an external issuer",
		access.BySecret:   "by a client secret",
		access.ByClientID: "by X-Client-Id alone, which proves nothing",
		access.BySession:  "by a browser session",
		access.ByApp:      "by the session of a browser app",
	}
	var names []string
	if c.Client != "" {
		names = append(names, "client "+c.Client)
	}
	if c.User != "" {
		names = append(names, "user "+c.User)
	}
	switch {
	case len(names) == 0 && ways[c.By] == "":
		return "unknown"
	case len(names) == 0:
		return "identified " + ways[c.By]
	case ways[c.By] == "":
		return strings.Join(names, ", ")
	}
	return strings.Join(names, ", ") + ", identified " + ways[c.By]
}

// ruleText names the rule that denied the request and what it checks.
func ruleText(r *access.RecordedDenial) string {
	checks := map[string]string{
		"credential": "how the caller identifies itself",
		"audience":   "the claim aud of the token",
		"issuer":     "the claim iss of the token",
		"scope":      "the claim scope of the token",
		"role":       "the roles of the user, or of a client that acts for itself",
		"client":     "the client that calls",
		"network":    "the address that the request comes from",
		"origin":     "the page that the request comes from, by its Origin header",
		"host":       "the host that was called",
		"acr":        "the claim acr: how strongly the person signed in",
		"age":        "the claim auth_time: when the person last signed in",
		"method":     "the method of the request",
		"rate":       "how often the caller has called",
		"path":       "how the path is written",
		"route":      "which routes exist, and which of them the client may call",
	}
	if what := checks[r.Rule]; what != "" {
		return fmt.Sprintf("The rule %q denied it. This rule checks %s.", r.Rule, what)
	}
	return fmt.Sprintf("The rule %q denied it.", r.Rule)
}

// explainEvent returns an event with its explanation; an event that is not a failure has none.
func explainEvent(e *audit.Event) explainedEvent {
	x := explainedEvent{eventView: viewEvent(e)}
	text, ok := reasonTexts()[e.Reason]
	switch {
	case ok:
	case e.Type == audit.AuthorizationCodeReplayed:
		text = reasonText{
			"The authorization code had been used before. All tokens that it gave are revoked.",
			"Start a new authorization, and redeem each code once; if the client does so, somebody else has seen the code.",
		}
	case e.Type == audit.RefreshTokenReplayed:
		text = reasonText{
			"The refresh token had been used before, so all tokens of its grant are revoked.",
			"Let the user sign in again, and store each new refresh token before the next request; " +
				"if the client does so, somebody else has the token.",
		}
	case e.Type == audit.ConsentDenied, e.Type == audit.DeviceCodeDenied:
		text = reasonText{"The person did not agree.", "Request fewer scopes, and explain to the person what they are for."}
	case e.Type == audit.LoginFailed, e.Type == audit.ClientAuthFailed:
		text = reasonText{fmt.Sprintf("It failed because of %s.", e.Reason), ""}
	}
	x.Explanation, x.Remedy = text.what, text.remedy
	if x.Remedy != "" && e.Client != "" {
		x.Remedy = strings.ReplaceAll(x.Remedy, "CLIENT", e.Client)
	}
	if x.Remedy != "" && e.User != "" {
		x.Remedy = strings.ReplaceAll(x.Remedy, "USER", e.User)
	}
	return x
}

func (e *explainedEvent) print(s *table) {
	if e.Explanation == "" {
		s.line("%s was recorded; it is not a failure.", e.Type)
	} else {
		s.line("%s: %s", e.Type, e.Explanation)
	}
	s.pair("at", e.At.String())
	s.pair("from", e.IP)
	s.pair("about", e.about())
	if e.Remedy != "" {
		s.line("To fix: %s", e.Remedy)
	}
}

// auditDenied lists denials of the gateway.
type auditDenied struct {
	Client string `placeholder:"CLIENT" help:"Only requests of the client with this id."`
	listFlags
}

// Run prints a page of denials.
func (f *auditDenied) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	q := admin.DenialQuery{Client: f.Client, Page: f.page()}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		page, err := ops.Denials(ctx, a, q)
		if err != nil {
			return explainQuery(err)
		}
		all := append([]access.DenialRecord{}, page.Items...)
		return showPage(c, f.listFlags, page, all, func(s *table) {
			s.row("AT", "REQUEST ID", "CALLER", "REQUEST", "ANSWER", "RULE")
			for i := range all {
				d := &all[i]
				s.row(s.when(d.At), d.RequestID, cmp.Or(d.Caller.Client, d.Caller.User), d.Method+" "+d.Host+d.Path,
					statusText(d.Status), d.Denial.Rule)
			}
		})
	})
}
