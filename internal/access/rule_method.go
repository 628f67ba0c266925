package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// methodRule requires one of the route's methods.
type methodRule struct{ methods []string }

func compileMethod(c *Compiled, _ *Options) (rule, error) {
	for _, m := range c.route.Methods {
		switch {
		case !methodName(m):
			return nil, fault.InvalidField("methods", "%q is not a method; write it in "+
				"capitals, such as GET", clip(m))
		case m == "CONNECT" || m == "TRACE": // RFC 9110 §9.3.6, §9.3.8
			return nil, fault.InvalidField("methods", "%s cannot be passed on; leave it out", m)
		}
	}
	if len(c.route.Methods) == 0 {
		return nil, nil
	}
	return methodRule{c.route.Methods}, nil
}

// methodName reports whether s has the form of registered methods (RFC 9110 §16.1): capitals and
// dashes.
func methodName(s string) bool {
	for i := 0; i < len(s); i++ {
		if (s[i] < 'A' || s[i] > 'Z') && (s[i] != '-' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func (m methodRule) check(t *Target, _ *Caller) *Denial {
	if slices.Contains(m.methods, t.Method) {
		return nil
	}
	return &Denial{
		Rule:   "method",
		Reason: fmt.Sprintf("The route does not allow the method %q.", clip(t.Method)),
		Needed: shown(m.methods...),
		Had:    shown(t.Method),
		Remedy: "Use " + strings.Join(m.methods, ", ") + ", or add the method to the route.",
	}
}
