package access

import "slices"

// Error codes of challenges.
const (
	CodeInvalidToken = "invalid_token"                    // RFC 6750 §3.1
	CodeScope        = "insufficient_scope"               // RFC 6750 §3.1
	CodeStepUp       = "insufficient_user_authentication" // RFC 9470 §3
)

// rule is one condition of a route. It gives nil if it holds for a request.
type rule interface {
	check(*Target, *Caller) *Refusal
}

// compilers make the rules of a route, in the order in which they are asked. One that a route does not need is nil.
var compilers = [...]func(*Compiled, *Options) (rule, error){
	compileMethod,
	compileHost,
	compileRestriction,
	compileNetwork,
	compileCredential,
	compileAudience,
	compileIssuer,
	compileClient,
	compileScope,
	compileRole,
	compileACR,
	compileAge,
}

// Decide says what becomes of a request. The first rule that does not hold decides.
func (c *Compiled) Decide(t *Target, who *Caller) Decision {
	for _, r := range c.rules {
		if refusal := r.check(t, who); refusal != nil {
			return c.refuse(refusal)
		}
	}
	return Decision{Verdict: Pass}
}

// refuse completes a refusal: a challenge names all scopes of the route, so that one visit to the issuer is enough (RFC 6750 §3).
func (c *Compiled) refuse(r *Refusal) Decision {
	v := r.verdict()
	if v == Login || r.Code == CodeScope {
		r.Scope = slices.Clone(c.route.Scopes)
	}
	return Decision{Verdict: v, Refusal: r}
}

// verdict follows from the code: what another or a better credential would cure is no final no.
func (r *Refusal) verdict() Verdict {
	switch {
	case r.Code == CodeStepUp:
		return StepUp
	case r.Code == CodeInvalidToken || r.Rule == "credential":
		return Login
	}
	return Deny
}

// Bounds of what a refusal repeats of a request: it is kept for a while, and strangers cause it.
const (
	maxShown     = 200 // bytes of one value
	maxShownList = 32
)

// clip bounds one value.
func clip(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > maxShown-4 && s[cut]&0xc0 == 0x80 { // not within a letter
		cut--
	}
	return s[:cut] + "…"
}

// shown bounds a list of values.
func shown(list ...string) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, 0, min(len(list), maxShownList))
	for _, s := range list {
		if len(out) == maxShownList-1 && len(list) > maxShownList {
			return append(out, "…")
		}
		out = append(out, clip(s))
	}
	return out
}
