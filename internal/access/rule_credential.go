package access

import (
	"strings"
)

// credentialRule requires a credential that has not expired, unless the route allows requests
// without one.
type credentialRule struct {
	unidentified, clientID, browser, passBasic bool
}

func compileCredential(c *Compiled, _ *Options) (rule, error) {
	r := &c.route
	return credentialRule{r.Unidentified, r.ClientID, r.Browser, r.PassBasic}, nil
}

func (r credentialRule) check(t *Target, c *Caller) *Denial {
	// it may have been valid when it was cached
	if c.By != ByNothing && !c.Expires.IsZero() && !t.Now.Before(c.Expires) {
		return r.expired(c)
	}
	if r.unidentified || r.identifies(c) {
		return nil
	}
	out := &Denial{
		Rule:   "credential",
		Needed: r.ways(),
		Remedy: "Send an access token in the Authorization header, or a client's id and secret.",
	}
	if r.passBasic {
		out.Remedy = "Send an access token in the Authorization header. HTTP Basic is for the " +
			"upstream of this route."
	}
	switch c.By {
	case ByNothing:
		out.Reason = "The request has no credential."
	case ByClientID:
		out.Reason = "The client only sent its id, which proves nothing."
		out.Had = []string{ByClientID}
		out.Remedy = "Send the client's secret or an access token, or let the route accept a " +
			"client id alone."
	default:
		out.Reason = "The credential does not identify the caller."
		out.Had = shown(c.By)
	}
	if r.browser {
		out.Remedy = strings.TrimSuffix(out.Remedy, ".") + "; in a browser, sign in."
	}
	return out
}

// identifies reports whether the credential identifies the caller in a way that the route accepts.
func (r credentialRule) identifies(c *Caller) bool {
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

// ways returns the kinds of credentials that the route accepts.
func (r credentialRule) ways() []string {
	w := []string{ByToken, BySecret, BySession}
	if r.passBasic {
		w = []string{ByToken, BySession}
	}
	if r.clientID {
		w = append(w, ByClientID)
	}
	return w
}

func (r credentialRule) expired(c *Caller) *Denial {
	out := &Denial{
		Rule:   "credential",
		Reason: "The credential has expired.",
		Had:    shown(c.By),
		Remedy: "Refresh the access token, or sign in again.",
	}
	if c.By == ByToken || c.By == ByForeign {
		out.Code = CodeInvalidToken
	}
	return out
}
