package console

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// Snippet is a part of an app's configuration or code, with the values of a client.
type Snippet struct{ Name, Text string }

// secretStandIn stands for a secret that is not known any more.
const secretStandIn = "the-secret-of-the-client"

// snippets returns what an app needs to use a client.
func (s *Server) snippets(c *client.Client) []Snippet {
	x := snippetValues{issuer: s.cfg.Issuer, client: c}
	out := []Snippet{{".env", envSnippet(s.cfg.Issuer, c, secretStandIn)}}
	if c.CanUseGrant(client.GrantTypeCode) {
		out = append(out, Snippet{"Spring Boot", x.spring()}, Snippet{"Next.js", x.next()}, Snippet{"Go", x.goCode()})
	}
	if c.CanUseGrant(client.GrantTypeClient) && c.HasSecret() {
		out = append(out, Snippet{"curl", x.curl()})
	}
	return out
}

// envSnippet returns the settings of an app as a file of environment variables.
func envSnippet(issuer string, c *client.Client, secret string) string {
	lines := []string{"OIDC_ISSUER=" + quote(issuer), "OIDC_CLIENT_ID=" + quote(string(c.ID))}
	if c.HasSecret() {
		lines = append(lines, "OIDC_CLIENT_SECRET="+quote(secret))
	}
	if len(c.Redirects) > 0 {
		lines = append(lines, "OIDC_REDIRECT_URI="+quote(c.Redirects[0]))
	}
	if len(c.Scopes) > 0 {
		lines = append(lines, "OIDC_SCOPES="+quote(strings.Join(c.Scopes, " ")))
	}
	return strings.Join(lines, "\n")
}

type snippetValues struct {
	issuer string
	client *client.Client
}

// text returns a text between double quotes, in which neither YAML nor JavaScript finds anything
// with a meaning.
func text(s string) string {
	out, err := json.Marshal(printable(s))
	if err != nil { // not for texts
		panic(err)
	}
	return string(out)
}

// printable leaves out control characters and marks that reorder what people read.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			return -1
		}
		return c
	}, s)
}

func (x snippetValues) redirect() string {
	if len(x.client.Redirects) == 0 {
		return "https://app.example.com/callback"
	}
	return x.client.Redirects[0]
}

func (x snippetValues) spring() string {
	lines := []string{
		"spring:",
		"  security:",
		"    oauth2:",
		"      client:",
		"        registration:",
		"          gatehouse:",
		"            client-id: " + text(string(x.client.ID)),
	}
	if x.client.HasSecret() {
		lines = append(lines, `            client-secret: "${OIDC_CLIENT_SECRET}"`)
	} else {
		lines = append(lines, `            client-authentication-method: "none"`)
	}
	return strings.Join(append(lines,
		`            authorization-grant-type: "authorization_code"`,
		"            redirect-uri: "+text(x.redirect()),
		"            scope: "+text(strings.Join(x.client.Scopes, ",")),
		"        provider:",
		"          gatehouse:",
		"            issuer-uri: "+text(x.issuer),
	), "\n")
}

func (x snippetValues) next() string {
	lines := []string{
		`import NextAuth from "next-auth";`,
		"",
		"export const { handlers, auth, signIn, signOut } = NextAuth({",
		"  providers: [{",
		`    id: "gatehouse",`,
		`    name: "Gatehouse",`,
		`    type: "oidc",`,
		"    issuer: " + text(x.issuer) + ",",
		"    clientId: " + text(string(x.client.ID)) + ",",
	}
	if x.client.HasSecret() {
		lines = append(lines, "    clientSecret: process.env.OIDC_CLIENT_SECRET,")
	} else {
		lines = append(lines, `    client: { token_endpoint_auth_method: "none" },`)
	}
	return strings.Join(append(lines,
		"    authorization: { params: { scope: "+text(strings.Join(x.client.Scopes, " "))+" } },",
		`    checks: ["pkce", "state", "nonce"],`,
		"  }],",
		"});",
	), "\n")
}

func (x snippetValues) goCode() string {
	q := func(s string) string { return strconv.Quote(printable(s)) }
	scopes := make([]string, len(x.client.Scopes))
	for i, s := range x.client.Scopes {
		scopes[i] = q(s)
	}
	lines := []string{
		"provider, err := oidc.NewProvider(ctx, " + q(x.issuer) + ") // github.com/coreos/go-oidc/v3/oidc",
		"if err != nil {",
		"\treturn err",
		"}",
		"config := oauth2.Config{ // golang.org/x/oauth2",
		"\tClientID:     " + q(string(x.client.ID)) + ",",
	}
	if x.client.HasSecret() {
		lines = append(lines, `	ClientSecret: os.Getenv("OIDC_CLIENT_SECRET"),`)
	}
	return strings.Join(append(lines,
		"\tEndpoint:     provider.Endpoint(),",
		"\tRedirectURL:  "+q(x.redirect())+",",
		"\tScopes:       []string{"+strings.Join(scopes, ", ")+"},",
		"}",
		"verifier := oauth2.GenerateVerifier()",
		"address := config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))",
	), "\n")
}

func (x snippetValues) curl() string {
	return "curl -u " + quote(string(x.client.ID)+":") + `"$OIDC_CLIENT_SECRET"` +
		" -d grant_type=client_credentials " + quote(x.issuer+"/oauth/token")
}
