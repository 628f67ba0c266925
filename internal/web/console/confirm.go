package console

import (
	"context"
	"net/http"
	"net/url"
)

// ConfirmView asks before something happens that cannot be undone, or that ends something.
type ConfirmView struct {
	Base
	Text   string   // what the person is about to do
	Ends   []string // what else happens
	Inputs []Input
	Button string // "": it cannot be done now, and there is no form
	Danger bool
	Action string // address that the form is posted to
	Hidden []Pair
	Back   Link
	Same   Same
}

// Page names the template.
func (*ConfirmView) Page() string { return "confirm" }

// action is something that is done to a thing after a page has asked. T is the thing with what the
// page says about it.
type action[T any] struct {
	server *Server
	name   string   // the last part of the address
	link   string   // the text of the link to the page
	ops    []string // the operations of package admin
	title  string
	button string
	danger bool
	held   func(t T) bool // whether it cannot be done now: the page says why, without a form
	offers func(t T) bool // whether the action makes sense now; nil: always
	text   func(t T) string
	ends   func(t T) []string
	inputs func(b Base) ([]Input, error)
	hidden func(t T) []Pair
	same   func(t T, form url.Values) Same
	do     func(ctx context.Context, q *request, t T) error
	done   func(t T) string                                           // where to go afterwards
	opens  func(ctx context.Context, q *request, t T) (string, error) // in place of do and done
	back   func(t T) Link
	at     func(t T) string // the address of the page; nil: name below that of back
}

// show shows the page that asks.
func (a action[T]) show(w http.ResponseWriter, r *http.Request, q *request, t T) error {
	return a.write(w, q, t, a.server.begin(r, q, a.title))
}

// write shows the page with what every page shows.
func (a action[T]) write(w http.ResponseWriter, q *request, t T, b Base) error {
	v := &ConfirmView{
		Base:   b,
		Button: a.button,
		Danger: a.danger,
		Back:   a.back(t),
		Action: a.back(t).URL + "/" + a.name,
	}
	if a.at != nil {
		v.Action = a.at(t)
	}
	v.Crumbs = []Link{v.Back}
	if a.held != nil && a.held(t) {
		v.Button = ""
	}
	if a.text != nil {
		v.Text = a.text(t)
	}
	if a.ends != nil {
		v.Ends = a.ends(t)
	}
	if a.inputs != nil {
		var err error
		if v.Inputs, err = a.inputs(v.Base); err != nil {
			return err
		}
	}
	if a.hidden != nil {
		v.Hidden = a.hidden(t)
	}
	if a.same != nil {
		v.Same = a.same(t, q.form)
	}
	return a.server.show(w, v.status(), v)
}

// post does it, and shows the page again where an input is wrong.
func (a action[T]) post(w http.ResponseWriter, r *http.Request, q *request, t T) error {
	to, err := "", error(nil)
	if a.opens != nil {
		to, err = a.opens(r.Context(), q, t)
	} else if err = a.do(r.Context(), q, t); err == nil {
		to = a.done(t)
	}
	if err == nil {
		return seeOther(w, r, to)
	}
	b := a.server.begin(r, q, a.title)
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return a.write(w, q, t, b)
}

// actionRoutes returns the routes of an action on the thing that load reads. The path ends with the
// action's name.
func actionRoutes[T any](path string, a action[T], load func(*http.Request, *request) (T, error)) []route {
	serve := func(h func(http.ResponseWriter, *http.Request, *request, T) error) handler {
		return func(w http.ResponseWriter, r *http.Request, q *request) error {
			t, err := load(r, q)
			if err != nil {
				return err
			}
			return h(w, r, q, t)
		}
	}
	return []route{
		{"GET " + path + "/" + a.name, nil, serve(a.show)},
		{"POST " + path + "/" + a.name, a.ops, serve(a.post)},
	}
}
