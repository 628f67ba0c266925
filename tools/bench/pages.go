package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// pageRows lists the pages that strangers load most.
func pageRows() []row {
	// A brand, so that nothing of the look is left out.
	look := []string{
		"APP_NAME=Acme ID", "APP_TAGLINE=One account for everything", "PRIMARY_COLOR=#7c3aed", "COMPANY_NAME=Acme Ltd",
		"TERMS_URL=https://example.com/terms", "PRIVACY_URL=https://example.com/privacy", "SUPPORT_URL=https://example.com/help",
	}
	return []row{
		{name: "login page", settings: look, plan: loginPage, goals: always(ofBare(0.5))},
		{name: "login page of an app", settings: look, plan: loginOfApp, goals: always(ofBare(0.5))},
	}
}

// loginPage returns the sign-in page with everything that it has by default: the choice of a
// language, and a question of a passkey for autofill.
func loginPage(ctx context.Context, st *stage) (plan, error) {
	page := get(pathLogin, asBrowser("de-DE,de;q=0.9,en;q=0.5")...)
	a, err := page.expect(ctx, st.server.address, http.StatusOK)
	if err != nil {
		return plan{}, err
	}
	for _, part := range []string{"data-passkey=", `value="ar"`} {
		if !strings.Contains(string(a.Body), part) {
			return plan{}, fmt.Errorf("the sign-in page has no %s", part)
		}
	}
	return st.byWrk(page), nil
}

// asBrowser returns what a browser sends with a page's request.
func asBrowser(languages string) [][2]string {
	return [][2]string{
		{"User-Agent", userAgent},
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		{"Accept-Language", languages},
		{"Accept-Encoding", "gzip, deflate, br"},
		{"Sec-Fetch-Site", "none"},
		{"Sec-Fetch-Mode", "navigate"},
	}
}

// loginOfApp returns the sign-in page as an authorization request leads to it, with its flow.
func loginOfApp(ctx context.Context, st *stage) (plan, error) {
	q := url.Values{
		"response_type": {"code"}, "client_id": {clientID("ES256")}, "redirect_uri": {redirectURI}, "scope": {scopesPerson}, "state": {"af0ifjsldkj"},
		"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"},
	}
	ask := get(pathAuthorize+"?"+q.Encode(), asBrowser("de-DE,de;q=0.9,en;q=0.5")...)
	a, err := ask.send(ctx, st.server.address)
	if err != nil {
		return plan{}, err
	}
	to := a.Header.Get("Location")
	if !strings.HasPrefix(to, pathLogin+"?flow=") {
		return plan{}, fmt.Errorf("the authorization request was answered %d, and not by the sign-in page", a.Status)
	}
	page := get(to, asBrowser("de-DE,de;q=0.9,en;q=0.5")...)
	for _, c := range (&http.Response{Header: a.Header}).Cookies() {
		page.Header = append(page.Header, [2]string{"Cookie", c.Name + "=" + c.Value})
	}
	return st.byWrk(page), nil
}
