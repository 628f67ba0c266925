package bearer

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
)

// Reject responds to a request for which Verify returned an error: status, challenges and a JSON
// body. The challenge names the scopes that the request needs.
func (v *Verifier) Reject(w http.ResponseWriter, err error, scopes ...string) {
	v.reject(w, nil, err, scopes)
}

func (v *Verifier) reject(w http.ResponseWriter, r *http.Request, err error, scopes []string) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{
			Status:      http.StatusInternalServerError,
			Code:        "server_error",
			Description: "The access token could not be checked.",
			cause:       err,
		}
	}
	if v.OnReject != nil && r != nil {
		v.OnReject(r, e)
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
	_ = json.NewEncoder(w).Encode(body) // fails only if the connection is closed
}

// Challenges returns the values of WWW-Authenticate for an error: one for each accepted scheme
// (RFC 6750 §3, RFC 9449 §7.1). The challenge of the scheme that the request used describes the
// error.
func (v *Verifier) Challenges(e *Error, scopes ...string) []string {
	var out []string
	if !v.DPoP.Required {
		out = append(out, v.challenge(SchemeBearer, e, scopes))
	}
	return append(out, v.challenge(SchemeDPoP, e, scopes))
}

func (v *Verifier) challenge(scheme string, e *Error, scopes []string) string {
	var p []string
	add := func(name, value string) {
		if value != "" {
			p = append(p, name+`="`+quotable(value)+`"`)
		}
	}
	add("realm", v.Realm)
	if e.Scheme == scheme || e.Scheme == "" || (v.DPoP.Required && scheme == SchemeDPoP) {
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
