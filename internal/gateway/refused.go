package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// refused is why a request does not pass, and what is answered.
type refused struct {
	status int
	code   string         // `error` of the answer
	text   string         // for who calls: printable ASCII without quotes, as it also stands in challenges
	why    access.Refusal // for who operates
	scheme string         // of the challenge that the error belongs to, with a 401 or 403: Bearer, DPoP or Basic
	after  time.Duration  // when to come again, with 429 and 503
	allow  []string       // methods, with 405
	login  bool           // somebody who opens a page may sign in instead
	err    error          // behind a 5xx, for the log
}

// Error codes of answers that are none of a challenge's.
const (
	codeInvalidRequest = "invalid_request" // RFC 6750 §3.1
	codeInvalidClient  = "invalid_client"  // RFC 6749 §5.2
	codeLogin          = "login_required"
	codeDenied         = "access_denied"
	codeNotFound       = "not_found"
	codeMethod         = "method_not_allowed"
	codeRate           = "rate_limit_exceeded"
	codeUnavailable    = "temporarily_unavailable"
	codeServer         = "server_error"
	codeTooLarge       = "request_too_large"
	codeUpstream       = "upstream_failed"
)

// Schemes of challenges.
const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
	schemeBasic  = "Basic"
)

func badRequest(rule, reason, remedy string) *refused {
	return &refused{
		status: http.StatusBadRequest, code: codeInvalidRequest, text: reason + " " + remedy,
		why: access.Refusal{Rule: rule, Reason: reason, Remedy: remedy, Code: codeInvalidRequest},
	}
}

// badPath is a path that two programs may read in two ways.
func badPath(err error) *refused {
	return badRequest("path", fault.Text(err), "Paths with dots, double slashes, disguised slashes or control characters are refused, never repaired.")
}

func noRoute() *refused {
	return &refused{
		status: http.StatusNotFound, code: codeNotFound, text: "There is no service at this address.",
		why: access.Refusal{Rule: "route", Reason: "No active route has this host and path.", Remedy: "Make a route for it: gatehouse route create."},
	}
}

// badCredential is a credential that was sent and is not good.
func badCredential(scheme, code, text, reason string) *refused {
	return &refused{
		status: http.StatusUnauthorized, code: code, text: text, scheme: scheme, login: true,
		why: access.Refusal{Rule: "credential", Reason: reason, Remedy: "Send a credential that is in force, or none.", Code: code},
	}
}

func badToken(reason string) *refused {
	return badCredential(schemeBearer, access.CodeInvalidToken, "The access token is invalid, expired or revoked.", reason)
}

func badClient(reason string) *refused {
	return badCredential(schemeBasic, codeInvalidClient, "The client could not be authenticated. Check its id and secret.", reason)
}

// broken is a request that cannot be judged now: nobody passes unjudged.
func broken(err error) *refused {
	r := &refused{
		status: http.StatusInternalServerError, code: codeServer, err: err,
		text: "Something went wrong on the server. Tell its operator the request id.",
		why:  access.Refusal{Rule: "server", Reason: "The request could not be judged.", Remedy: "Look for the request id in the server's log."},
	}
	switch {
	case fault.Is(err, fault.Unavailable):
		r.status, r.code, r.after = http.StatusServiceUnavailable, codeUnavailable, time.Second
		r.text = "The server cannot answer now. Try again in a moment."
	case fault.Is(err, fault.Limited):
		r.status, r.code, r.after = http.StatusTooManyRequests, codeRate, time.Second
		r.text = "Too many requests. Try again in a moment."
	}
	return r
}

// verdictOf turns a decision into what is answered.
func verdictOf(d access.Decision) *refused {
	r := &refused{why: *d.Refusal, scheme: schemeBearer, code: d.Refusal.Code}
	switch {
	case d.Verdict == access.Login && r.code == "":
		r.status, r.code, r.login = http.StatusUnauthorized, codeLogin, true
		r.text = "Say who you are: send an access token in the Authorization header, or sign in."
	case d.Verdict == access.Login:
		r.status, r.login = http.StatusUnauthorized, true
		r.text = "The access token is not good for this address."
	case d.Verdict == access.StepUp:
		r.status, r.login = http.StatusUnauthorized, true
		r.text = "Prove who you are again, or with a second factor."
	case r.why.Rule == "method":
		r.status, r.code, r.allow = http.StatusMethodNotAllowed, codeMethod, r.why.Needed
		r.text = "This address does not serve that method."
	case r.code == access.CodeScope:
		r.status, r.text = http.StatusForbidden, "This address needs an access token with a scope that the caller does not have."
	default:
		r.status, r.code, r.scheme = http.StatusForbidden, codeDenied, ""
		r.text = "You may not use this address. If you think you should, tell its operator the request id."
	}
	return r
}

// seconds is a wait in whole seconds, at least one.
func seconds(d time.Duration) int64 { return max(int64((d+time.Second-1)/time.Second), 1) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
