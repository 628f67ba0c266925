package access

import (
	"strings"
)

// credentialRule holds if somebody is known, or need not be, and what they are known by has not run out.
type credentialRule struct {
	unidentified, clientID, browser bool
}

func compileCredential(c *Compiled, _ *Options) (rule, error) {
	return credentialRule{c.route.Unidentified, c.route.ClientID, c.route.Browser}, nil
}

func (r credentialRule) check(t *Target, c *Caller) *Denial {
	if c.By != ByNothing && !c.Expires.IsZero() && !t.Now.Before(c.Expires) { // it may have been good when it was first seen, and kept since
		return r.expired(c)
	}
	if r.unidentified || r.known(c) {
		return nil
	}
	out := &Denial{Rule: "credential", Needed: r.ways(), Remedy: "Send an access token in the Authorization header, or a client's id and secret."}
	switch c.By {
	case ByNothing:
		out.Reason = "The request does not say who makes it."
	case ByClientID:
		out.Reason = "The client only gave its id, which anybody can."
		out.Had, out.Remedy = []string{ByClientID}, "Send the client's secret or an access token, or let the route take a client id alone."
	default:
		out.Reason = "The credential does not say who makes the request."
		out.Had = shown(c.By)
	}
	if r.browser {
		out.Remedy = strings.TrimSuffix(out.Remedy, ".") + "; in a browser, sign in."
	}
	return out
}

// known reports whether the caller has said who it is in a way that counts. What is not one of the ways known here never does.
func (r credentialRule) known(c *Caller) bool {
	switch c.By {
	case ByToken, ByForeign:
		return c.Subject != "" || c.User != "" || c.Client != ""
	case BySecret:
		return c.Proven && c.Client != ""
	case ByClientID:
		return r.clientID && c.Client != ""
	case BySession, ByApp:
		return c.User != ""
	}
	return false
}

// ways are the credentials that would do.
func (r credentialRule) ways() []string {
	w := []string{ByToken, BySecret, BySession}
	if r.clientID {
		w = append(w, ByClientID)
	}
	return w
}

func (r credentialRule) expired(c *Caller) *Denial {
	out := &Denial{Rule: "credential", Reason: "The credential has expired.", Had: shown(c.By), Remedy: "Refresh the access token, or sign in again."}
	if c.By == ByToken || c.By == ByForeign {
		out.Code = CodeInvalidToken
	}
	return out
}
