package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Rate limits of registration.
const (
	RateRegistration = "registration"      // all requests of an address
	RateOpen         = "open_registration" // clients that anybody registers, at one address
	RateOpenInAll    = "open_registration_in_all"
)

// maxRegistration bounds the body of a registration request, in bytes.
const maxRegistration = 64 << 10

// Registrations serves dynamic client registration (RFC 7591, RFC 7592).
type Registrations struct {
	Kit       *web.Kit
	Registrar *admin.Registrar
	Issuer    string
	// Caller returns the access token of a request to one of our own resources.
	Caller func(ctx context.Context, c *oauth.Call) (*oauth.AccessToken, error)
	// ActorOf returns the actor who presents an access token.
	ActorOf func(ctx context.Context, t *oauth.AccessToken, v login.Visit) (admin.Actor, error)
}

// registrationCall is one request: who sends it, and for which client.
type registrationCall struct {
	w    http.ResponseWriter
	r    *http.Request
	who  admin.Registrant
	id   client.ID
	body []byte
}

// registrationRoute is one operation, by method and the path below that of registration.
type registrationRoute struct {
	method, path string
	serve        func(ctx context.Context, c *registrationCall) (status int, doc any, err error)
}

func (s *Registrations) routes() []registrationRoute {
	return []registrationRoute{
		{"POST", "", s.register},
		{"GET", "/{id}", s.read},
		{"PUT", "/{id}", s.replace},
		{"PATCH", "/{id}", s.patch},
		{"DELETE", "/{id}", s.remove},
		{"POST", "/{id}/renew_secret", s.renewSecret},
		{"POST", "/{id}/secrets", s.addSecret},
		{"DELETE", "/{id}/secrets/{secret}", s.removeSecret},
	}
}

// Routes adds registration to a mux.
func (s *Registrations) Routes(mux *http.ServeMux) {
	for _, root := range []string{"/oauth/register", "/register"} {
		methods := map[string][]string{}
		for _, row := range s.routes() {
			mux.HandleFunc(row.method+" "+root+row.path, s.handler(row))
			methods[root+row.path] = append(methods[root+row.path], row.method)
		}
		for path, list := range methods {
			// Programs in browsers register too. No cookie takes part.
			mux.HandleFunc("OPTIONS "+path, options(route{methods: strings.Join(list, " "), cors: true}, path))
			mux.HandleFunc(path, s.wrongMethod(allowed(strings.Join(list, " "), path)))
		}
	}
	mux.HandleFunc("POST /api/v1/client", s.createByName)
	mux.HandleFunc("GET /api/v1/client/{id}", s.showByName)
}

func (s *Registrations) wrongMethod(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		web.OpenToScripts(w.Header())
		s.Kit.Fail(w, r, web.WrongMethod(w.Header(), allow))
	}
}

func (s *Registrations) handler(row registrationRoute) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		web.OpenToScripts(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		c := &registrationCall{w: w, r: r, id: client.ID(r.PathValue("id"))}
		err := s.Kit.Allow(w, r, RateRegistration, web.Subject{})
		if err == nil {
			c.who, err = s.registrant(r, bearer(r))
		}
		var status int
		var doc any
		if err == nil {
			status, doc, err = row.serve(r.Context(), c)
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		writeJSON(w, status, doc)
	}
}

// bearer returns the token of the Authorization header, or "".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, oauth.SchemeBearer) {
		return ""
	}
	return strings.TrimSpace(token)
}

// registrant returns who sends a request: the owner of an initial or registration access token, an
// administrator by an access token, or anybody.
func (s *Registrations) registrant(r *http.Request, token string) (admin.Registrant, error) {
	ev := web.EventOf(r.Context())
	who := admin.Registrant{Actor: admin.Actor{Agent: ev.Agent, RequestID: ev.ID}}
	who.Actor.IP, _ = netip.ParseAddr(ev.IP)
	if len(r.Header.Values("Authorization")) > 1 {
		return who, fault.New(fault.Invalid, "The Authorization header is sent more than once.")
	}
	if r.Header.Get("Authorization") == "" {
		return who, nil
	}
	if s.Registrar.IsToken(token) {
		who.Token = token
		return who, nil
	}
	bodiless := r.Clone(r.Context())
	bodiless.Method, bodiless.Body, bodiless.ContentLength = r.Method, http.NoBody, 0
	bodiless.Header.Del("Content-Type")
	if token != "" {
		bodiless.Header.Set("Authorization", "Bearer "+token)
	}
	call, err := s.Kit.ParseCall(bodiless, 0, nil)
	if err != nil {
		return who, err
	}
	t, err := s.Caller(r.Context(), call)
	if err != nil {
		return who, err
	}
	ev.Client, ev.User = string(t.Client), string(t.User)
	who.Administrator = true
	who.Actor, err = s.ActorOf(r.Context(), t, login.Visit{IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID, Now: ev.Now})
	return who, err
}

// metadata reads the client metadata of a request.
func (s *Registrations) metadata(c *registrationCall) (*client.Metadata, error) {
	if err := c.readBody(); err != nil {
		return nil, err
	}
	m, err := client.ParseMetadata(c.body, s.Registrar.Rules())
	if err != nil {
		return nil, admin.RegistrationError(err)
	}
	return m, nil
}

// readBody reads a body of JSON. Scripts may leave out its type: nothing but JSON is read here, and
// what counts is the token, which no browser sends by itself.
func (c *registrationCall) readBody() (err error) {
	if named := c.r.Header.Get("Content-Type"); named != "" {
		kind, _, err := mime.ParseMediaType(named)
		if err != nil || kind != "application/json" && kind != "application/merge-patch+json" {
			return oauth.InvalidRequest("The body must be application/json.")
		}
	}
	c.body, err = io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxRegistration))
	if err != nil {
		return oauth.InvalidRequest("The body could not be read, or is larger than %d bytes.", maxRegistration)
	}
	return nil
}

// register serves RFC 7591 §3.1.
func (s *Registrations) register(ctx context.Context, c *registrationCall) (int, any, error) {
	if !c.who.Administrator && c.who.Token == "" && s.Registrar.Open() {
		if err := s.allowOpen(c); err != nil {
			return 0, nil, err
		}
	}
	m, err := s.metadata(c)
	if err != nil {
		return 0, nil, err
	}
	done, err := s.Registrar.Register(ctx, c.who, m)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, s.information(done), nil
}

// allowOpen counts a registration by anybody, at its address and in all.
func (s *Registrations) allowOpen(c *registrationCall) error {
	if err := s.Kit.Allow(c.w, c.r, RateOpen, web.Subject{}); err != nil {
		return err
	}
	return s.Kit.AllowInAll(c.r, RateOpenInAll)
}

func (s *Registrations) read(ctx context.Context, c *registrationCall) (int, any, error) {
	done, err := s.Registrar.Registered(ctx, c.who, c.id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.information(done), nil
}

func (s *Registrations) replace(ctx context.Context, c *registrationCall) (int, any, error) {
	return s.update(ctx, c, false)
}

func (s *Registrations) patch(ctx context.Context, c *registrationCall) (int, any, error) {
	return s.update(ctx, c, true)
}

func (s *Registrations) update(ctx context.Context, c *registrationCall, partly bool) (int, any, error) {
	m, err := s.metadata(c)
	if err != nil {
		return 0, nil, err
	}
	done, err := s.Registrar.Update(ctx, c.who, c.id, m, partly)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.information(done), nil
}

func (s *Registrations) remove(ctx context.Context, c *registrationCall) (int, any, error) {
	return http.StatusNoContent, nil, s.Registrar.Delete(ctx, c.who, c.id)
}

func (s *Registrations) renewSecret(ctx context.Context, c *registrationCall) (int, any, error) {
	done, err := s.Registrar.RenewSecret(ctx, c.who, c.id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.secretOf(done), nil
}

func (s *Registrations) addSecret(ctx context.Context, c *registrationCall) (int, any, error) {
	if err := c.readBody(); err != nil {
		return 0, nil, err
	}
	var in struct {
		Action string `json:"action"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil || in.Action != "add" {
		return 0, nil, oauth.InvalidRequest("The body must be {'action':'add'}.")
	}
	done, err := s.Registrar.AddOwnSecret(ctx, c.who, c.id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, s.secretOf(done), nil
}

func (s *Registrations) removeSecret(ctx context.Context, c *registrationCall) (int, any, error) {
	return http.StatusNoContent, nil,
		s.Registrar.RemoveOwnSecret(ctx, c.who, c.id, c.r.PathValue("secret"))
}

// document is a JSON object.
type document map[string]any

// information returns a client information response (RFC 7591 §3.2.1, RFC 7592 §3).
func (s *Registrations) information(done *admin.RegisteredClient) document {
	c := done.Client
	doc := s.secretOf(done)
	delete(doc, "secret_id")
	doc["client_id_issued_at"] = c.CreatedAt.Unix()
	doc["registration_client_uri"] = s.Issuer + "/oauth/register/" + string(c.ID)
	for name, value := range admin.RegisteredMetadata(c) {
		doc[name] = value
	}
	return doc
}

// secretOf returns a client's new secret, if it has one.
func (s *Registrations) secretOf(done *admin.RegisteredClient) document {
	doc := document{"client_id": done.Client.ID}
	if done.Token != "" {
		doc["registration_access_token"] = done.Token
	}
	if done.Secret != "" {
		doc["client_secret"], doc["client_secret_expires_at"] = done.Secret, unixSeconds(done.ExpiresAt)
		doc["secret_id"] = done.SecretID
	}
	return doc
}

// unixSeconds returns a time as RFC 7591 §3.2.1 writes it; 0 is never.
func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// fail answers a request with an error.
func (s *Registrations) fail(w http.ResponseWriter, r *http.Request, err error) {
	web.EventOf(r.Context()).Err = err
	var denied *admin.AccessError
	isDenied := errors.As(err, &denied)
	switch {
	case isDenied && fault.Reason(err) == admin.ReasonStepUp: // RFC 9470 §3
		stepUp := oauth.NewError(admin.ReasonStepUp, http.StatusUnauthorized, "%s", fault.Text(err))
		stepUp.Challenge = oauth.SchemeBearer
		err = stepUp
	case isDenied && fault.Reason(err) == admin.ReasonInsufficientScope:
		err = oauth.InsufficientScope(string(denied.Scope), "%s", fault.Text(err))
	}
	p := web.ProblemOf(err)
	if p.Challenge != "" {
		list := challenges(r, p, s.Issuer)
		if isDenied && denied.MaxAge > 0 {
			list[0] += fmt.Sprintf(`, max_age="%d"`, int(denied.MaxAge/time.Second))
		}
		if isDenied && denied.ACR != "" {
			list[0] += fmt.Sprintf(`, acr_values="%s"`, denied.ACR)
		}
		w.Header()["Www-Authenticate"] = list
	}
	web.WriteProblem(w, r, p)
}

func writeJSON(w http.ResponseWriter, status int, doc any) {
	if doc == nil {
		w.WriteHeader(status)
		return
	}
	body, err := json.Marshal(doc)
	if err != nil { // documents hold texts, numbers and lists
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if it fails
}
