package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

// Authentication schemes of challenges.
const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
	schemeBasic  = "Basic"
)

// badRequest returns the denial of a request that could be read in more than one way.
func badRequest(rule, reason, remedy string) *access.Denial {
	return &access.Denial{
		Status: http.StatusBadRequest,
		Code:   access.CodeInvalidRequest,
		Public: reason + " " + remedy,
		Rule:   rule,
		Reason: reason,
		Remedy: remedy,
	}
}

// badPath returns the denial of a path that two programs may read in two ways.
func badPath(err error) *access.Denial {
	return badRequest("path", fault.Text(err), "Paths with dots, double slashes, disguised slashes or "+
		"control characters are refused, never repaired.")
}

// noRoute returns the denial of a request whose address belongs to no route.
func noRoute() *access.Denial {
	return &access.Denial{
		Status: http.StatusNotFound,
		Code:   access.CodeNotFound,
		Public: "There is no service at this address.",
		Rule:   "route",
		Reason: "No active route has this host and path.",
		Remedy: "Create a route for it: gatehouse route create.",
	}
}

// badCredential returns the denial of a credential that was sent and is not valid. The challenge of
// the scheme carries the code and the text.
func badCredential(scheme, code, text, reason string) *access.Denial {
	return &access.Denial{
		Status:    http.StatusUnauthorized,
		Code:      code,
		Public:    text,
		Rule:      "credential",
		Reason:    reason,
		Remedy:    "Send a valid credential, or none.",
		Challenge: access.Challenge{Scheme: scheme},
		SignIn:    true,
	}
}

// badToken returns the denial of an access token; reason is for the operator.
func badToken(reason string) *access.Denial {
	return badCredential(schemeBearer, access.CodeInvalidToken,
		"The access token is invalid, expired or revoked.", reason)
}

// badClient returns the denial of a client's credentials; reason is for the operator.
func badClient(reason string) *access.Denial {
	return badCredential(schemeBasic, access.CodeInvalidClient,
		"The client could not be authenticated. Check its id and secret.", reason)
}

// unjudged returns the denial of a request that cannot be judged now, because err keeps the gateway
// from finding out who makes it.
func unjudged(err error) *access.Denial {
	d := &access.Denial{
		Status: http.StatusInternalServerError,
		Code:   access.CodeServer,
		Public: "Something went wrong on the server. Tell its operator the request id.",
		Rule:   "server",
		Reason: "The request could not be judged.",
		Remedy: "Look for the request id in the server's log.",
		Cause:  err,
	}
	switch {
	case fault.Is(err, fault.Unavailable):
		d.Status, d.Code, d.RetryAfter = http.StatusServiceUnavailable, access.CodeUnavailable, time.Second
		d.Public = "The server cannot answer now. Try again in a moment."
		if fault.Reason(err) == token.ReasonStale {
			d.Rule = "revocations"
			d.Reason = "This server has not heard of revocations for longer than REVOCATION_MAX_AGE, so the " +
				"credential may have been revoked."
			d.Remedy = "Repair the server's way to its database."
		}
	case fault.Is(err, fault.Limited):
		d.Status, d.Code, d.RetryAfter = http.StatusTooManyRequests, access.CodeRate, time.Second
		d.Public = "Too many requests. Try again in a moment."
	}
	return d
}

// seconds returns a wait in whole seconds, rounded up and at least one.
func seconds(d time.Duration) int64 { return max(int64((d+time.Second-1)/time.Second), 1) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
