package access

// rule is one condition of a route. check returns nil if it holds for a request.
type rule interface {
	check(*Target, *Caller) *Denial
}

// compilers makes the rules of a route, in the order in which they are checked. A compiler returns
// nil if the route does not need its rule.
var compilers = [...]func(*Compiled, *Options) (rule, error){
	compileMethod,
	compileHost,
	compileRestriction,
	compileNetwork,
	compileOrigin,
	compileCredential,
	compileAudience,
	compileIssuer,
	compileClient,
	compileScope,
	compileRole,
	compileACR,
	compileAge,
}

// Decide returns nil if the caller's request may pass, and otherwise the denial by the first rule
// that does not hold.
func (c *Compiled) Decide(t *Target, who *Caller) *Denial {
	for _, r := range c.rules {
		if d := r.check(t, who); d != nil {
			return c.answered(d)
		}
	}
	return nil
}

// Bounds of what a denial repeats of a request: denials are stored, and strangers cause them.
const (
	maxShown     = 200 // bytes of one value
	maxShownList = 32
)

// clip returns a text shortened to maxShown bytes.
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

// shown returns a list with a bounded number of values of bounded length.
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
