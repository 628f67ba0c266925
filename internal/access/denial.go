package access

import (
	"slices"
	"time"
)

// Codes of denials. The first three belong to challenges; those from CodeLoginRequired on are this
// server's own and appear in no challenge.
const (
	CodeInvalidToken      = "invalid_token"                    // RFC 6750 §3.1
	CodeInsufficientScope = "insufficient_scope"               // RFC 6750 §3.1
	CodeStepUp            = "insufficient_user_authentication" // RFC 9470 §3
	CodeInvalidRequest    = "invalid_request"                  // RFC 6750 §3.1
	CodeInvalidClient     = "invalid_client"                   // RFC 6749 §5.2

	CodeLoginRequired   = "login_required"
	CodeAccessDenied    = "access_denied"
	CodeNotFound        = "not_found"
	CodeMethod          = "method_not_allowed"
	CodeRate            = "rate_limit_exceeded"
	CodeUnavailable     = "temporarily_unavailable"
	CodeServer          = "server_error"
	CodeRequestTooLarge = "request_too_large"
	CodeUpstream        = "upstream_failed"
)

// Status codes of denials by rules (RFC 9110 §15.5).
const (
	statusUnauthorized     = 401
	statusForbidden        = 403
	statusMethodNotAllowed = 405
)

// schemeBearer is the authentication scheme of access tokens (RFC 6750 §2.1).
const schemeBearer = "Bearer"

// Denial is the error of a request that may not pass the gateway: the answer for the caller and
// the explanation for the operator. It holds no secret.
type Denial struct {
	Status int    // HTTP status code of the answer
	Code   string // the `error` member of the answer
	// a sentence for the caller: printable ASCII without quotes, because challenges repeat it
	Public string

	Rule   string   // the rule that did not hold: credential, audience, scope, role, network, …
	Reason string   // a sentence for the operator: what was found
	Needed []string // scopes, roles, networks, …
	Had    []string // what the request had of them
	Remedy string   // a sentence: what would let the request pass

	Challenge  Challenge
	Allow      []string      // the route's methods, with 405
	RetryAfter time.Duration // when to try again, with 429 and 503
	SignIn     bool          // a person who opens a page may sign in instead
	Cause      error         // the error behind a 5xx, for the log
}

// Challenge is what a denial asks the caller to send instead (RFC 9110 §11.6.1).
type Challenge struct {
	Scheme string   // the scheme whose challenge carries the code: Bearer, DPoP or Basic
	Scope  []string // all scopes that the route needs (RFC 6750 §3)
	ACR    string   // the authentication context class to sign in with (RFC 9470 §3)
	MaxAge Duration // the longest time since the person signed in (RFC 9470 §3)
	Nonce  string   // the nonce for the next DPoP proof (RFC 9449 §8)
}

// Error returns the operator's words, and the cause where there is one.
func (d *Denial) Error() string {
	s := d.Rule + ": " + d.Reason
	if d.Cause != nil {
		s += " " + d.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (d *Denial) Unwrap() error { return d.Cause }

// answered fills in the answer to a denial by a rule of the route: its status, code and text follow
// from the rule and the code of its challenge.
func (c *Compiled) answered(d *Denial) *Denial {
	d.Status, d.SignIn, d.Challenge.Scheme = statusUnauthorized, true, schemeBearer
	switch {
	case d.Code == CodeStepUp:
		d.Public = "Sign in again, or with two-step verification."
	case d.Code == CodeInvalidToken:
		d.Public = "The access token is not valid for this address."
	case d.Rule == "credential":
		d.Code = CodeLoginRequired
		d.Public = "Authentication is required: send an access token in the Authorization header, " +
			"or sign in."
	default:
		c.forbidden(d)
	}
	// One visit to the issuer is enough if a challenge names all scopes of the route (RFC 6750 §3).
	if d.Code == CodeInvalidToken || d.Code == CodeLoginRequired || d.Code == CodeInsufficientScope {
		d.Challenge.Scope = slices.Clone(c.route.Scopes)
	}
	return d
}

// forbidden fills in the answer to a denial that another credential of the same caller would not
// change.
func (c *Compiled) forbidden(d *Denial) {
	d.Status, d.SignIn = statusForbidden, false
	switch {
	case d.Rule == "method":
		d.Status, d.Code, d.Allow = statusMethodNotAllowed, CodeMethod, d.Needed
		d.Public = "This address does not serve that method."
	case d.Code == CodeInsufficientScope:
		d.Public = "This address needs an access token with a scope that the caller does not have."
	default:
		d.Code, d.Challenge.Scheme = CodeAccessDenied, ""
		d.Public = "You may not use this address. If you think you should, tell its operator the " +
			"request id."
	}
}

// DenyMethod returns the denial of a request with a header that asks for another method than those
// that the route allows.
func (c *Compiled) DenyMethod(header, method string) *Denial {
	return c.answered(&Denial{
		Rule:   "method",
		Reason: "The header " + header + " asks for a method that the route does not allow.",
		Needed: c.route.Methods,
		Had:    shown(method),
		Remedy: "Leave the header out, or add the method to the route.",
	})
}
