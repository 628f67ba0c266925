package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// webhookSection lists the addresses that receive events.
func (s *Server) webhookSection() section {
	const path = "/admin/webhooks/{webhook}"
	return section{
		path:  "/webhooks",
		name:  "Webhooks",
		icon:  "hook",
		group: "Events",
		scope: admin.ScopeWebhooksRead,
		routes: slices.Concat([]route{
			{"GET /admin/webhooks", []string{"ListWebhooks"}, s.showWebhooks},
			{"GET /admin/webhooks/new", nil, s.showNewWebhook},
			{"POST /admin/webhooks", []string{"CreateWebhook"}, s.postNewWebhook},
			{"GET " + path, []string{"Webhook", "WebhookDeliveries"}, s.showWebhook},
			{"GET " + path + "/edit", nil, s.showEditWebhook},
			{"POST " + path + "/edit", []string{"UpdateWebhook"}, s.postEditWebhook},
			{"POST " + path + "/test", []string{"TestWebhook"}, s.postTestWebhook},
			{"POST " + path + "/deliveries/{delivery}/resend", []string{"ResendDelivery"}, s.postResend},
			{"GET " + path + "/rotate", nil, s.showRotateWebhook},
			{"POST " + path + "/rotate", []string{"RotateWebhookSecret"}, s.postRotateWebhook},
		}, actionRoutes(path, s.deleteWebhookAction(), s.loadWebhook)),
		views: []View{&WebhooksView{}, &WebhookView{}, &WebhookFormView{}, &OnceView{}},
		notes: map[string]string{
			"updated": "The changes were saved.",
			"deleted": "The webhook was deleted.",
			"resent":  "The event will be sent again within a few seconds.",
			"tested":  "The target has accepted the test message.",
		},
	}
}

// WebhooksView lists webhooks.
type WebhooksView struct {
	Base
	Table Table
	Empty *Empty // instead of the list, or nil
	Same  Same
}

// Page names the template.
func (*WebhooksView) Page() string { return "webhooks" }

func (s *Server) showWebhooks(w http.ResponseWriter, r *http.Request, q *request) error {
	all, err := s.ops.ListWebhooks(r.Context(), q.actor)
	if err != nil {
		return err
	}
	v := &WebhooksView{Base: s.begin(r, q, "Webhooks")}
	v.Lead = "Addresses that learn what happens, by signed messages."
	if q.actor.Can(admin.ScopeWebhooksWrite) {
		v.Primary = &Link{"New webhook", Root + "/webhooks/new"}
	}
	v.Table = Table{
		Caption: "Webhooks",
		Columns: []Column{{Name: "Address"}, {Name: "State"}, {Name: "Events", Wide: true}, {Name: "Created", Wide: true}},
	}
	for i := range all {
		x := &all[i]
		v.Table.Rows = append(v.Table.Rows, Row{ID: string(x.ID), Name: x.Host(), Cells: []Cell{
			{Text: x.URL, URL: at("/webhooks", string(x.ID)), Sub: x.Description},
			webhookState(x),
			textCell(strings.Join(x.Events, ", ")),
			v.timeCell(x.CreatedAt, ""),
		}})
	}
	if len(all) == 0 {
		v.Empty = &Empty{
			Icon:    "hook",
			Title:   "There are no webhooks yet",
			Text:    "A webhook tells another program at once when somebody signs in, an account is locked, or something is changed.",
			Command: "gatehouse webhook create --url https://hooks.example.com/gatehouse --event user.*",
		}
	}
	v.Same = s.same("GET", "/api/v1/webhooks", nil, "webhook", "list")
	return s.show(w, http.StatusOK, v)
}

func webhookState(x *webhook.Webhook) Cell {
	switch {
	case x.Active:
		return badgeCell("good", "On")
	case x.Ended == webhook.EndedGone:
		return badgeCell("bad", "Off: gone")
	}
	return badgeCell("plain", "Off")
}

// WebhookFormView creates or changes a webhook. The fields are `url`, `description`, `active` and
// one check box for each event: `events-` with its name or pattern.
type WebhookFormView struct {
	Base
	All    ScopeChoice // every event
	Groups []ScopeGroup
	Create bool
	Action string
	Back   Link
	Same   Same
}

// Page names the template.
func (*WebhookFormView) Page() string { return "webhookform" }

// fieldEvents is the field of a webhook with check boxes.
const fieldEvents = "events"

// eventGroups returns the events with those chosen, in groups that can be chosen as a whole.
func eventGroups(chosen []string) []ScopeGroup {
	var out []ScopeGroup
	for _, name := range audit.Names() {
		kind, _, _ := strings.Cut(name, ".")
		if len(out) == 0 || out[len(out)-1].Name != fieldLabel(kind) {
			all := kind + ".*"
			out = append(out, ScopeGroup{
				Name:   fieldLabel(kind),
				Scopes: []ScopeChoice{{all, "All of them, also future ones", slices.Contains(chosen, all)}},
			})
		}
		g := &out[len(out)-1]
		g.Scopes = append(g.Scopes, ScopeChoice{name, "", slices.Contains(chosen, name)})
	}
	return out
}

func (s *Server) writeWebhookForm(w http.ResponseWriter, q *request, v *WebhookFormView, old *webhook.Webhook) error {
	v.Notice, v.Form, v.Version = "", q.form, q.form.Get("version")
	chosen := q.picked(fieldEvents + "-")
	v.All = ScopeChoice{webhook.All, "Every event", slices.Contains(chosen, webhook.All)}
	v.Groups = eventGroups(chosen)
	p, _ := fieldPatch(webhook.Fields(), q) // what cannot be read is left out
	args, body := fieldSame(webhook.Fields(), old, &p.Values)
	if v.Create {
		v.Action, v.Back = Root+"/webhooks", Link{"Webhooks", Root + "/webhooks"}
		v.Crumbs = []Link{v.Back}
		v.Same = s.same("POST", "/api/v1/webhooks", body, append([]string{"webhook", "create"}, args...)...)
		return s.show(w, v.status(), v)
	}
	id := string(old.ID)
	v.Action, v.Back = at("/webhooks", id, "edit"), Link{old.Host(), at("/webhooks", id)}
	v.Crumbs = []Link{{"Webhooks", Root + "/webhooks"}, v.Back}
	v.Same = s.same("PATCH", "/api/v1/webhooks/"+id, body, append([]string{"webhook", "update", id}, args...)...)
	return s.show(w, v.status(), v)
}

func (s *Server) showNewWebhook(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeWebhooksWrite); err != nil {
		return err
	}
	if len(q.form) == 0 {
		q.form = url.Values{"active": {"on"}}
	}
	v := &WebhookFormView{Base: s.begin(r, q, "New webhook"), Create: true}
	return s.writeWebhookForm(w, q, v, &webhook.Webhook{Active: true})
}

func (s *Server) postNewWebhook(w http.ResponseWriter, r *http.Request, q *request) error {
	p, err := fieldPatch(webhook.Fields(), q)
	if err == nil {
		var out *admin.CreatedWebhook
		if out, err = s.ops.CreateWebhook(r.Context(), q.actor, p); err == nil {
			return s.showWebhookSecret(w, r, q, out, "The webhook was created")
		}
	}
	v := &WebhookFormView{Base: s.begin(r, q, "New webhook"), Create: true}
	if err := retry(&v.Base, q, err); err != nil {
		return err
	}
	return s.writeWebhookForm(w, q, v, &webhook.Webhook{Active: true})
}

// OnceView shows a secret that was made, this once.
type OnceView struct {
	Base
	Text   string
	Label  string // of the secret
	Secret string
	Next   Link
}

// Page names the template.
func (*OnceView) Page() string { return "once" }

func (s *Server) showWebhookSecret(
	w http.ResponseWriter, r *http.Request, q *request, out *admin.CreatedWebhook, title string,
) error {
	x := out.Webhook
	v := &OnceView{Base: s.begin(r, q, title), Label: "Secret", Secret: out.Secret}
	v.Notice, v.Crumbs = "", []Link{{"Webhooks", Root + "/webhooks"}}
	v.Text = "Give the secret to the program at " + x.Host() +
		". With it, it checks the header webhook-signature of each message (Standard Webhooks)."
	if x.Previous != "" {
		v.Text += " Messages also carry the signature of the former secret, until " + v.When(x.PreviousUntil).Absolute + "."
	}
	v.Next = Link{"Open the webhook", at("/webhooks", string(x.ID))}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) loadWebhook(r *http.Request, q *request) (*webhook.Webhook, error) {
	return s.ops.Webhook(r.Context(), q.actor, r.PathValue("webhook"))
}

func (s *Server) showEditWebhook(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeWebhooksWrite); err != nil {
		return err
	}
	x, err := s.loadWebhook(r, q)
	if err != nil {
		return err
	}
	if !q.draft {
		q.form = fieldValues(webhook.Fields(), x, fieldEvents)
		q.form.Set("version", strconv.FormatInt(x.Version, 10))
	}
	return s.writeWebhookForm(w, q, &WebhookFormView{Base: s.begin(r, q, "Edit "+x.Host())}, x)
}

func (s *Server) postEditWebhook(w http.ResponseWriter, r *http.Request, q *request) error {
	id := r.PathValue("webhook")
	version, err := versionOf(q)
	if err != nil {
		return err
	}
	p, err := fieldPatch(webhook.Fields(), q)
	if err == nil {
		if _, err = s.ops.UpdateWebhook(r.Context(), q.actor, id, p, version); err == nil {
			return seeOther(w, r, with(at("/webhooks", id), "done", "updated"))
		}
	}
	x, readErr := s.loadWebhook(r, q)
	if readErr != nil {
		return readErr
	}
	v := &WebhookFormView{Base: s.begin(r, q, "Edit "+x.Host())}
	if fault.Is(err, fault.Stale) {
		return s.showStale(w, v.Base, at("/webhooks", id, "edit"), fieldMoves(webhook.Fields(), &p.Values, x))
	}
	if err := retry(&v.Base, q, err); err != nil {
		return err
	}
	return s.writeWebhookForm(w, q, v, x)
}

// WebhookView shows a webhook and what was sent to it.
type WebhookView struct {
	Base
	Facts      []Fact
	Search     Search
	Deliveries Table
	Pager      Pager
	Actions    []Link
	Buttons    []Button
	Same       Same
}

// Page names the template.
func (*WebhookView) Page() string { return "webhook" }

func (s *Server) showWebhook(w http.ResponseWriter, r *http.Request, q *request) error {
	x, err := s.loadWebhook(r, q)
	if err != nil {
		return err
	}
	query := webhook.Query{
		State:  webhook.State(q.form.Get("state")),
		Before: q.form.Get("cursor"),
		Limit:  pageSize,
	}
	sent, total, err := s.ops.WebhookDeliveries(r.Context(), q.actor, string(x.ID), query)
	if err != nil {
		return err
	}
	v := &WebhookView{Base: s.begin(r, q, x.Host())}
	v.Lead, v.Crumbs = x.Description, []Link{{"Webhooks", Root + "/webhooks"}}
	if q.form.Get("done") == "failed" {
		v.Problem = "The target did not accept the test message. The list says what it answered."
	}
	v.Facts = v.webhookFacts(x)
	path := at("/webhooks", string(x.ID))
	write := q.actor.Can(admin.ScopeWebhooksWrite)
	v.Search = Search{Action: path, Active: query.State != "", Filters: []Filter{newFilter(q.form, "state", "State",
		"", "All", "sent", "Sent", "queued", "Tried again", "dead", "Given up", "resend", "To be sent again")}}
	v.Deliveries = v.deliveryTable(sent, path, write)
	v.Pager = Pager{Total: plural(total, "delivery", "deliveries")}
	if query.Before != "" {
		v.Pager.First = keep(path, q.form, []string{"state"})
	}
	if n := len(sent); n == pageSize {
		v.Pager.Next = keep(path, q.form, []string{"state"}, "cursor", sent[n-1].ID)
	}
	if write {
		v.Primary = &Link{"Edit", path + "/edit"}
		v.Buttons = []Button{{Text: "Send a test", Action: path + "/test"}}
		v.Actions = []Link{{"Rotate secret", path + "/rotate"}, {"Delete", path + "/delete"}}
	}
	v.Same = s.same("GET", keep("/api/v1/webhooks/"+string(x.ID)+"/deliveries", q.form, []string{"state"}), nil,
		"webhook", "deliveries", string(x.ID), "--state="+q.form.Get("state"))
	api := "/api/v1/webhooks/" + string(x.ID)
	if write {
		v.Same = v.Same.also("Send a test", s.same("POST", api+"/test", nil, "webhook", "test", string(x.ID)))
	}
	if v.Deliveries.acts() {
		v.Same = v.Same.also("Resend", s.same("POST", api+"/deliveries/DELIVERY-ID/resend", nil,
			"webhook", "resend", string(x.ID), "DELIVERY-ID"))
	}
	return s.show(w, v.status(), v)
}

// plural returns a number with a noun whose plural is not regular.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

func (b *Base) webhookFacts(x *webhook.Webhook) []Fact {
	facts := []Fact{
		{Name: "Address", Cell: codeCell(x.URL)},
		{Name: "State", Cell: webhookState(x)},
		{Name: "Events", Cell: textCell(strings.Join(x.Events, ", "))},
	}
	if x.PreviousUntil.After(b.Now) {
		facts = append(facts, Fact{Name: "Former secret", Cell: Cell{Text: "Signs until " + b.When(x.PreviousUntil).Absolute}})
	}
	return append(facts, Fact{Name: "Created", Cell: b.timeCell(x.CreatedAt, "")}, Fact{Name: "ID", Cell: codeCell(string(x.ID))})
}

// deliveryTable lists what was sent to a webhook.
func (b *Base) deliveryTable(all []webhook.Delivery, path string, write bool) Table {
	t := Table{Caption: "Deliveries", Columns: []Column{
		{Name: "Event"}, {Name: "State"}, {Name: "Answer", Wide: true}, {Name: "Time"},
	}}
	for i := range all {
		d := &all[i]
		state := deliveryState(d.State)
		if d.Attempts > 1 {
			state.Sub = count(d.Attempts, "attempt")
		}
		if d.State == webhook.Queued {
			state.Sub = count(d.Attempts, "attempt") + ", next " + b.When(d.NextAttemptAt).Relative
		}
		answer := Cell{Text: d.Error, Sub: d.Answer, Never: "None"}
		if d.Status != 0 {
			answer.Text = strconv.Itoa(d.Status) + " " + http.StatusText(d.Status) + ", " + d.Duration.Round(time.Millisecond).String()
		}
		row := Row{ID: d.ID, Name: d.Type.Name(), Cells: []Cell{
			{Text: d.Type.Name(), URL: at("/audit", d.Event)}, state, answer, b.timeCell(d.CreatedAt, ""),
		}}
		if d.Type == audit.WebhookTested {
			row.Cells[0].URL = ""
		}
		if write && (d.State == webhook.Sent || d.State == webhook.Dead) {
			row.Do = []Button{{
				Text:   "Resend",
				Action: path + "/deliveries/" + url.PathEscape(d.ID) + "/resend",
				Hidden: []Pair{{"page", b.Return}},
			}}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func deliveryState(x webhook.State) Cell {
	switch x {
	case webhook.Sent:
		return badgeCell("good", "Sent")
	case webhook.Dead:
		return badgeCell("bad", "Given up")
	case webhook.Resend:
		return badgeCell("warn", "To be sent again")
	}
	return badgeCell("warn", "Tried again")
}

func (s *Server) postTestWebhook(w http.ResponseWriter, r *http.Request, q *request) error {
	id := r.PathValue("webhook")
	d, err := s.ops.TestWebhook(r.Context(), q.actor, id)
	if err != nil {
		return err
	}
	done := "tested"
	if d.State != webhook.Sent {
		done = "failed"
	}
	return seeOther(w, r, with(at("/webhooks", id), "done", done))
}

func (s *Server) postResend(w http.ResponseWriter, r *http.Request, q *request) error {
	id := r.PathValue("webhook")
	if _, err := s.ops.ResendDelivery(r.Context(), q.actor, id, r.PathValue("delivery")); err != nil {
		return err
	}
	return seeOther(w, r, backTo(q, at("/webhooks", id), "resent"))
}

// rotateWebhookAction asks before a new secret is made. Its form is handled by postRotateWebhook.
func (s *Server) rotateWebhookAction() action[*webhook.Webhook] {
	return action[*webhook.Webhook]{
		server: s, name: "rotate", title: "Rotate the secret", button: "Make a new secret",
		text: func(x *webhook.Webhook) string {
			return "Makes a new secret that signs messages to " + x.Host() +
				". For a while messages carry both signatures, so that none is rejected while you replace it."
		},
		inputs: func(b Base) ([]Input, error) {
			in, err := newInput(b, "overlap", "The former secret also signs for", "plain", "autocomplete=off",
				"hint=Such as 24h, at most 7d. 0 ends it now: do this if it may have leaked. Empty: 24 hours.")
			return []Input{in}, err
		},
		same: func(x *webhook.Webhook, form url.Values) Same {
			body := map[string]any{}
			if d, err := overlapOf(form.Get("overlap")); err == nil && d >= 0 {
				body["overlap"] = int64(d / time.Second)
			}
			return s.same("POST", "/api/v1/webhooks/"+string(x.ID)+"/rotate_secret", body,
				"webhook", "rotate-secret", string(x.ID), "--overlap="+form.Get("overlap"))
		},
		back: webhookLink,
	}
}

func webhookLink(x *webhook.Webhook) Link { return Link{x.Host(), at("/webhooks", string(x.ID))} }

// overlapOf reads how long a former secret signs; less than 0 means the usual time.
func overlapOf(value string) (time.Duration, error) {
	if strings.TrimSpace(value) == "" {
		return -1, nil
	}
	d, err := field.ParseDuration(value)
	if err != nil {
		return 0, fault.InvalidField("overlap", "%v", err)
	}
	return d, nil
}

func (s *Server) showRotateWebhook(w http.ResponseWriter, r *http.Request, q *request) error {
	x, err := s.loadWebhook(r, q)
	if err != nil {
		return err
	}
	return s.rotateWebhookAction().show(w, r, q, x)
}

func (s *Server) postRotateWebhook(w http.ResponseWriter, r *http.Request, q *request) error {
	overlap, err := overlapOf(q.form.Get("overlap"))
	if err == nil {
		var out *admin.CreatedWebhook
		out, err = s.ops.RotateWebhookSecret(r.Context(), q.actor, r.PathValue("webhook"), overlap)
		if err == nil {
			return s.showWebhookSecret(w, r, q, out, "The secret was rotated")
		}
	}
	x, readErr := s.loadWebhook(r, q)
	if readErr != nil {
		return readErr
	}
	a := s.rotateWebhookAction()
	b := s.begin(r, q, a.title)
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return a.write(w, q, x, b)
}

func (s *Server) deleteWebhookAction() action[*webhook.Webhook] {
	return action[*webhook.Webhook]{
		server: s, ops: []string{"DeleteWebhook"},
		name: "delete", title: "Delete webhook", button: "Delete webhook", danger: true,
		text: func(x *webhook.Webhook) string { return "Deletes the webhook to " + x.Host() + "." },
		ends: func(*webhook.Webhook) []string {
			return []string{
				"The target receives no further events, and none of those that wait.",
				"The record of its deliveries is deleted. To pause it instead, switch it off.",
			}
		},
		same: func(x *webhook.Webhook, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/webhooks/"+string(x.ID), nil, "webhook", "delete", string(x.ID), "--yes")
		},
		do: func(ctx context.Context, q *request, x *webhook.Webhook) error {
			_, err := s.ops.DeleteWebhook(ctx, q.actor, string(x.ID), 0)
			return err
		},
		done: func(*webhook.Webhook) string { return Root + "/webhooks?done=deleted" },
		back: webhookLink,
	}
}
