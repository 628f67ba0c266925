package ui

import (
	"cmp"
	"html/template"
	"maps"
	"slices"
)

// Variables are what the operator's templates show: names that stay the same from release to
// release. Its methods T, N and H return texts of the catalogue in the language of the page.
type Variables map[string]any

func (v Variables) base() *Base { return v["page"].(View).base() }

// T returns a text of the catalogue, as Base.T does.
func (v Variables) T(id string, pairs ...any) string { return v.base().T(id, pairs...) }

// N returns a text in a plural form, as Base.N does.
func (v Variables) N(id string, count int, pairs ...any) string {
	return v.base().N(id, count, pairs...)
}

// H returns a text with markup, as Base.H does.
func (v Variables) H(id string, pairs ...any) template.HTML { return v.base().H(id, pairs...) }

// variableNames returns the names of all variables, sorted.
func variableNames() []string {
	var p Pages
	names := map[string]bool{}
	for _, view := range []View{
		&LoginView{}, &SignUpView{}, &ConsentView{}, &ActivateView{}, &ForgotView{}, &NewPasswordView{}, &ErrorView{},
	} {
		for name := range p.variables(view) {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// variables returns the variables of a page. A variable that the page has no value for is empty.
func (p *Pages) variables(v View) Variables {
	b := v.base()
	vars := Variables{
		"page":            v,
		"app_name":        p.brand.Name,
		"app_tagline":     p.brand.Tagline,
		"company_name":    p.brand.Company,
		"company_address": p.brand.Address,
		"logo_url":        link(p.brand.LogoURL()),
		"terms_url":       link(p.brand.TermsURL),
		"privacy_url":     link(p.brand.PrivacyURL),
		"support_url":     link(p.brand.SupportURL),
		"lang":            "",
		"dir":             "",
		"request_id":      b.RequestID,
		"notice":          b.Notice,
		"error":           b.Problem,
		"errors":          problemVariables(b),
		"client_name":     "",
		"client":          clientVariables(b.Client),
		"user":            "",
		"username":        "",
		"forward_url":     "",
	}
	if b.texts != nil {
		vars["lang"], vars["dir"] = b.Lang(), b.Dir()
	}
	if b.Problem == "" && len(b.Errors) > 0 {
		vars["error"] = b.Errors[0].Message
	}
	if b.Client != nil {
		vars["client_name"] = b.Client.Name
	}
	if b.Signed != nil {
		vars["user"] = b.Signed.Label
	}
	maps.Copy(vars, pageVariables(v))
	return vars
}

// pageVariables returns the variables that belong to one page.
func pageVariables(v View) Variables {
	switch v := v.(type) {
	case *LoginView:
		return Variables{
			"username":    v.Username,
			"forward_url": v.Next,
			"forgot_url":  v.Link(v.ForgotURL()),
			"email_url":   v.EmailURL,
			"signup_url":  v.SignUpURL,
			"password":    v.Password,
		}
	case *SignUpView:
		return Variables{
			"email":      v.Email,
			"name":       v.Name,
			"username":   v.Username,
			"domains":    v.Domains,
			"closed":     v.Closed,
			"signin_url": v.SignInURL(),
		}
	case *ForgotView:
		return Variables{"email": v.Email, "signin_url": v.SignInURL()}
	case *NewPasswordView:
		return Variables{
			"action":   cmp.Or(v.Action, "/login/password"),
			"username": v.Account,
			"reason":   v.Reason,
		}
	case *ConsentView:
		scopes := make([]map[string]any, len(v.Scopes))
		for i, s := range v.Scopes {
			scopes[i] = map[string]any{"name": s.Name, "description": s.Text(), "icon": s.Icon(), "new": s.Badge != ""}
		}
		return Variables{"scopes": scopes, "switch_url": v.SwitchURL, "redirect_host": redirectHost(v.Client)}
	case *ActivateView:
		return Variables{"user_code": v.UserCode, "phone_url": v.PhoneURL}
	case *ErrorView:
		return Variables{
			"heading": v.Heading, "error_description": v.Text, "next_url": v.NextURL, "next_text": v.NextText,
		}
	}
	return nil
}

func redirectHost(c *ClientView) string {
	if c == nil {
		return ""
	}
	return c.RedirectHost
}

// clientVariables returns an app with the names of its registration (RFC 7591 §2). Without an app
// all are empty.
func clientVariables(c *ClientView) map[string]any {
	if c == nil {
		c = &ClientView{}
	}
	return map[string]any{
		"client_name": c.Name, "logo_uri": c.Logo, "client_uri": c.Home, "tos_uri": c.Terms, "policy_uri": c.Policy,
		"brand_color": c.Color,
	}
}

// problemVariables returns what is wrong with single fields.
func problemVariables(b *Base) []map[string]any {
	list := make([]map[string]any, len(b.Errors))
	for i, e := range b.Errors {
		list[i] = map[string]any{"field": e.Field, "message": e.Message}
	}
	return list
}
