package ui

import "github.com/gatehouse-id/gatehouse/internal/identity"

// passwordRules is what a page with a new password shows below its field: the rules, and for
// browsers with scripts how many are met, the strength, and a button that makes a password.
type passwordRules struct {
	Base
	Rules []identity.Rule
}

func newPasswordRules(b Base, rules []identity.Rule) passwordRules {
	return passwordRules{Base: b, Rules: rules}
}

// Words returns a rule in the language of the page.
func (p passwordRules) Words(r identity.Rule) string {
	switch r.Code {
	case identity.RuleLength:
		return p.N("password.rule.length", r.Count)
	case identity.RuleUpper:
		return p.T("password.rule.uppercase")
	case identity.RuleLower:
		return p.T("password.rule.lowercase")
	case identity.RuleNumber:
		return p.T("password.rule.number")
	case identity.RuleSpecial:
		return p.T("password.rule.special")
	case identity.RuleCommon:
		return p.T("password.rule.common")
	case identity.RuleBreached:
		return p.T("password.rule.breached")
	}
	return r.Text
}
