package bearer

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
)

// Refuse answers a request whose Verify gave an error: status, challenges and a JSON body. The scopes are those that the request needs,
// for the challenge.
func (v *Verifier) Refuse(w http.ResponseWriter, err error, scopes ...string) {
	v.refuse(w, nil, err, scopes)
}

func (v *Verifier) refuse(w http.ResponseWriter, r *http.Request, err error, scopes []string) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Status: http.StatusInternalServerError, Code: "server_error", Description: "The access token could not be checked.", cause: err}
	}
	if v.onRefused != nil && r != nil {
		v.onRefused(r, e)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	switch {
	case e.Status == http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case e.Status < http.StatusInternalServerError:
		h["Www-Authenticate"] = v.Challenges(e, scopes...)
	}
	if v.nonces != nil && e.Scheme == SchemeDPoP {
		h.Set("DPoP-Nonce", v.Nonce())
	}
	body := struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{e.Code, e.Description}
	if body.Code == "" {
		body.Code = "unauthorized"
	}
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the caller has gone
}

// Challenges are the values of WWW-Authenticate for a refusal: one for each scheme that would be accepted (RFC 6750 §3, RFC 9449 §7.1). What is
// wrong is told in that of the scheme that was tried.
func (v *Verifier) Challenges(e *Error, scopes ...string) []string {
	var out []string
	if !v.onlyDPoP {
		out = append(out, v.challenge(SchemeBearer, e, scopes))
	}
	return append(out, v.challenge(SchemeDPoP, e, scopes))
}

func (v *Verifier) challenge(scheme string, e *Error, scopes []string) string {
	var p []string
	add := func(name, value string) {
		if value != "" {
			p = append(p, name+`="`+printable(value)+`"`)
		}
	}
	add("realm", v.realm)
	if e.Scheme == scheme || e.Scheme == "" || (v.onlyDPoP && scheme == SchemeDPoP) {
		add("error", e.Code)
		if e.Code != "" {
			add("error_description", e.Description)
		}
	}
	if e.Code == "" || e.Code == CodeInvalidToken || e.Code == CodeInsufficientScope {
		add("scope", strings.Join(scopes, " "))
	}
	add("resource_metadata", v.documentURL) // RFC 9728 §5.1
	if scheme == SchemeDPoP {
		add("algs", strings.Join(dpop.Algorithms(), " "))
	}
	if len(p) == 0 {
		return scheme
	}
	return scheme + " " + strings.Join(p, ", ")
}
