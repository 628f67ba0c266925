package client

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// Field is one field of a client's registration.
type Field = field.Field[Client]

// Fields returns the fields of a registration that can be set, in the order in which they are
// shown. Names are those of RFC 7591 §2, RFC 8705 §3.4 and RFC 9449 §5.2 where these have one.
// The rules provide the words for grant types and may be empty where only names matter.
func Fields(r Rules) []Field {
	all := slices.Concat(nameFields(), flowFields(r), authFields(r), accessFields(), tokenFields(r), pageFields())
	return field.Audit(all, auditedFields()...)
}

// auditedFields returns the names of the fields whose values the audit log shows. Key sets are left
// out: a private key may get into one by mistake.
func auditedFields() []string {
	return []string{
		"client_name",
		"description",
		"public",
		"disabled",
		"grant_types",
		"redirect_uris",
		"allow_custom_schemes",
		"post_logout_redirect_uris",
		"scope",
		"resources",
		"token_endpoint_auth_method",
		"jwks_uri",
		"token_endpoint_auth_signing_alg",
		"strict_assertion_audience",
		"request_object_signing_alg",
		"roles",
		"from_networks",
		"from_origins",
		"to_hosts",
		"to_routes",
		"introspect_any",
		"access_token_ttl",
		"id_token_ttl",
		"refresh_token_ttl",
		"refresh_rotation",
		"token_format",
		"token_typ",
		"id_token_profile",
		"alg",
		"first_party",
		"allow_plain_pkce",
		"require_pkce",
		"dpop_bound_access_tokens",
		"tls_client_certificate_bound_access_tokens",
		"keep_refresh",
		"client_uri",
		"logo_uri",
		"brand_color",
		"tos_uri",
		"policy_uri",
		"contacts",
	}
}

func nameFields() []Field {
	return []Field{
		{
			Name:        "client_name",
			Flag:        "name",
			Label:       "name",
			Placeholder: "NAME",
			Required:    true,
			Help:        "The name that people see on the consent page.",
			Text:        func(c *Client) *string { return &c.Name },
			Normalize:   strings.TrimSpace,
		},
		{
			Name:        "description",
			Flag:        "description",
			Placeholder: "TEXT",
			Help:        "A note for administrators.",
			Text:        func(c *Client) *string { return &c.Description },
		},
		{
			Name:   "public",
			Flag:   "public",
			Label:  "type",
			Help:   "The client cannot keep a secret: a browser, mobile or command-line app.",
			Switch: func(c *Client) *bool { return &c.Public },
			Show: func(c *Client) string {
				if c.Public {
					return "public"
				}
				return "confidential"
			},
		},
		{
			Name:   "disabled",
			Flag:   "disabled",
			Label:  "state",
			Help:   "Reject every request of the client, but keep its registration.",
			Switch: func(c *Client) *bool { return &c.Disabled },
			Show: func(c *Client) string {
				if c.Disabled {
					return "disabled"
				}
				return "active"
			},
		},
	}
}

// flowFields returns what a client may request, and where the response goes.
func flowFields(r Rules) []Field {
	return []Field{
		{
			Name:        "grant_types",
			Flag:        "grant",
			Label:       "grants",
			Placeholder: "GRANT",
			Help:        "A way to get tokens: " + r.grantHelp() + ". May be repeated.",
			List:        func(c *Client) *[]string { return &c.Grants },
			Separators:  " \t\n,",
			Show:        func(c *Client) string { return strings.Join(r.ShortGrants(c.Grants), " ") },
		},
		{
			Name:        "redirect_uris",
			Flag:        "redirect-uri",
			Label:       "redirect_uri",
			Placeholder: "URI",
			Rows:        true,
			Help:        "An address that people are sent back to, exactly as the client sends it. May be repeated.",
			List:        func(c *Client) *[]string { return &c.Redirects },
		},
		{
			Name:   "allow_custom_schemes",
			Flag:   "allow-custom-schemes",
			Help:   "Accept redirect URIs with an app's own scheme that any other app could take, such as cursor://.",
			Switch: func(c *Client) *bool { return &c.CustomSchemes },
		},
		{
			Name:        "post_logout_redirect_uris",
			Flag:        "post-logout-redirect-uri",
			Label:       "post_logout_redirect_uri",
			Placeholder: "URI",
			Rows:        true,
			Help:        "An address that people may be sent to after signing out. May be repeated.",
			List:        func(c *Client) *[]string { return &c.PostLogout },
		},
		{
			Name:        "scope",
			Flag:        "scope",
			Placeholder: "SCOPES",
			Help:        "The scopes it may request, separated by spaces. May be repeated.",
			List:        func(c *Client) *[]string { return &c.Scopes },
			Separators:  " \t\n",
			Joined:      true,
		},
		{
			Name:        "resources",
			Flag:        "resource",
			Placeholder: "URI",
			Help:        "An API, besides the issuer, that its tokens may be meant for. May be repeated.",
			List:        func(c *Client) *[]string { return &c.Resources },
		},
	}
}

// authFields returns how a client authenticates.
func authFields(r Rules) []Field {
	return []Field{
		{
			Name:        "token_endpoint_auth_method",
			Flag:        "auth-method",
			Label:       "auth_method",
			Placeholder: "METHOD",
			Help: "How it authenticates: " + strings.Join(r.AuthMethodNames(), ", ") +
				". Default: accept client_secret_basic and client_secret_post.",
			Text: func(c *Client) *string { return &c.AuthMethod },
			Show: func(c *Client) string {
				if c.AuthMethod == "" {
					return MethodBasic + " or " + MethodPost
				}
				return c.AuthMethod
			},
		},
		{
			Name:        "jwks",
			Flag:        "jwks",
			Placeholder: "FILE",
			Help:        "A file with its public keys, for private_key_jwt.",
			JSON:        func(c *Client) *json.RawMessage { return &c.JWKS },
			Show:        func(*Client) string { return "" },
		},
		{
			Name:        "jwks_uri",
			Flag:        "jwks-uri",
			Placeholder: "URL",
			Help:        "The address of its public keys, for private_key_jwt.",
			Text:        func(c *Client) *string { return &c.JWKSURI },
		},
		{
			Name:        "token_endpoint_auth_signing_alg",
			Flag:        "auth-signing-alg",
			Label:       "auth_signing_alg",
			Placeholder: "ALG",
			Help: "The only algorithm that its client assertions may have: " +
				strings.Join(jose.AssertionAlgorithms(), ", ") + ". Default: any.",
			Text: func(c *Client) *string { return &c.AuthAlg },
		},
		{
			Name:   "strict_assertion_audience",
			Flag:   "strict-assertion-audience",
			Help:   "Accept only client assertions whose aud is the issuer, as one text (FAPI 2.0).",
			Switch: func(c *Client) *bool { return &c.StrictAudience },
		},
		{
			Name:        "request_object_signing_alg",
			Flag:        "request-object-signing-alg",
			Placeholder: "ALG",
			Help: "The only algorithm that its request objects may have: " +
				strings.Join(jose.AssertionAlgorithms(), ", ") + ". Default: any.",
			Text: func(c *Client) *string { return &c.RequestAlg },
		},
	}
}

// accessFields returns what the gateway checks of a client.
func accessFields() []Field {
	return []Field{
		{
			Name:        "roles",
			Flag:        "role",
			Placeholder: "ROLE",
			Help:        "A role of the client when it acts for itself. May be repeated.",
			List:        func(c *Client) *[]string { return &c.Roles },
		},
		{
			Name:        "from_networks",
			Flag:        "from-network",
			Placeholder: "CIDR",
			Help:        "A network that it may call the gateway from. Default: any. May be repeated.",
			List:        func(c *Client) *[]string { return &c.Networks },
		},
		{
			Name:        "from_origins",
			Flag:        "from-origin",
			Placeholder: "ORIGIN",
			Help: "An origin such as https://app.example.com that the Origin header of its calls to the gateway must be. " +
				"Default: any, or none. May be repeated.",
			List: func(c *Client) *[]string { return &c.Origins },
		},
		{
			Name:        "to_hosts",
			Flag:        "to-host",
			Placeholder: "HOST",
			Help: "A host of the gateway that it may call, or a wildcard such as *.example.com. Default: any. " +
				"May be repeated.",
			List:      func(c *Client) *[]string { return &c.Hosts },
			Normalize: strings.ToLower,
		},
		{
			Name:        "to_routes",
			Flag:        "to-route",
			Placeholder: "ROUTE",
			Help: "A route of the gateway that it may call, as DOMAIN/VERSION, DOMAIN or an id. Default: any. " +
				"May be repeated.",
			List: func(c *Client) *[]string { return &c.Routes },
		},
		{
			Name:   "introspect_any",
			Flag:   "introspect-any",
			Help:   "Show it every token at introspection and in the revocation feed, not only those meant for it.",
			Switch: func(c *Client) *bool { return &c.IntrospectAny },
		},
	}
}

// tokenFields returns the properties of a client's tokens.
func tokenFields(r Rules) []Field {
	return slices.Concat([]Field{
		{
			Name:        "access_token_ttl",
			Flag:        "access-token-ttl",
			Placeholder: "DURATION",
			Help:        "How long its access tokens are valid.",
			TTL:         func(c *Client) *time.Duration { return &c.AccessTTL },
		},
		{
			Name:        "id_token_ttl",
			Flag:        "id-token-ttl",
			Placeholder: "DURATION",
			Help:        "How long its ID tokens are valid.",
			TTL:         func(c *Client) *time.Duration { return &c.IDTokenTTL },
		},
		{
			Name:        "refresh_token_ttl",
			Flag:        "refresh-token-ttl",
			Placeholder: "DURATION",
			Help:        "How long its refresh tokens are valid after their last use.",
			TTL:         func(c *Client) *time.Duration { return &c.RefreshTTL },
		},
		{
			Name:        "refresh_rotation",
			Flag:        "refresh-rotation",
			Placeholder: "on|off",
			Help:        "Whether each use of a refresh token replaces it.",
			Text:        func(c *Client) *string { return &c.Rotation },
		},
	}, formFields(r), switchFields())
}

// formFields returns what a client's tokens look like.
func formFields(r Rules) []Field {
	return []Field{
		{
			Name:        "token_format",
			Flag:        "token-format",
			Placeholder: "jwt|opaque",
			Help:        "The format of its access tokens.",
			Text:        func(c *Client) *string { return &c.TokenFormat },
		},
		{
			Name:        "token_typ",
			Flag:        "token-typ",
			Placeholder: "at+jwt|JWT",
			Help:        "The type header of its JWT access tokens. JWT suits APIs whose libraries reject at+jwt.",
			Text:        func(c *Client) *string { return &c.TokenTyp },
		},
		{
			Name:        "id_token_profile",
			Flag:        "id-token-profile",
			Placeholder: "on|off",
			Help: "Whether its ID tokens carry the claims of profile, email, phone and address. " +
				"Off: only user info does, unless the claims parameter requests one. Default: on.",
			Text: func(c *Client) *string { return &c.IDTokenProfile },
		},
		{
			Name:        "alg",
			Flag:        "alg",
			Placeholder: "ALG",
			Help:        "The algorithm that signs its tokens: " + strings.Join(r.Algorithms, ", ") + ".",
			Text:        func(c *Client) *string { return &c.Alg },
		},
	}
}

func switchFields() []Field {
	return []Field{
		{
			Name:        "rate_limits",
			Flag:        "rate-limit",
			Placeholder: "WHAT=MAX/WINDOW",
			Help: "How many requests it may make: token=1000/60s at the token endpoint, in place of the " +
				"limit of an address; gateway=10/1s through the gateway, beside the routes' rates. May be repeated.",
			JSON:  func(c *Client) *json.RawMessage { return &c.RateLimits },
			Parse: readRateLimits,
			Show:  showRateLimits,
		},
		{
			Name:   "loopback_only",
			Flag:   "loopback-only",
			Help:   "Serve it only to programs on the server's own machine that call a loopback address, past no proxy.",
			Switch: func(c *Client) *bool { return &c.LoopbackOnly },
		},
		{
			Name:   "first_party",
			Flag:   "first-party",
			Help:   "The client is your own: people are not asked for consent.",
			Switch: func(c *Client) *bool { return &c.FirstParty },
		},
		{
			Name:   "allow_plain_pkce",
			Flag:   "allow-plain-pkce",
			Help:   "Accept the PKCE method plain, for old clients.",
			Switch: func(c *Client) *bool { return &c.PlainPKCE },
		},
		{
			Name:   "require_pkce",
			Flag:   "require-pkce",
			Help:   "Require PKCE although the client is confidential.",
			Switch: func(c *Client) *bool { return &c.RequirePKCE },
		},
		{
			Name:   "dpop_bound_access_tokens",
			Flag:   "dpop-bound",
			Label:  "dpop_bound",
			Help:   "Issue only tokens that are bound to its key (RFC 9449).",
			Switch: func(c *Client) *bool { return &c.DPoPBound },
		},
		{
			Name:   "tls_client_certificate_bound_access_tokens",
			Flag:   "certificate-bound",
			Label:  "certificate_bound",
			Help:   "Issue only tokens that are bound to its TLS certificate (RFC 8705).",
			Switch: func(c *Client) *bool { return &c.CertBound },
		},
		{
			Name:   "keep_refresh",
			Flag:   "keep-refresh",
			Help:   "Keep its refresh tokens on the server: it exchanges an old access token for a new one.",
			Switch: func(c *Client) *bool { return &c.ServerSideRefresh },
		},
	}
}

// pageFields returns what the consent page shows.
func pageFields() []Field {
	return []Field{
		{
			Name:        "client_uri",
			Flag:        "uri",
			Label:       "uri",
			Placeholder: "URL",
			Help:        "Its home page, shown on the consent page.",
			Text:        func(c *Client) *string { return &c.URI },
		},
		{
			Name:        "logo_uri",
			Flag:        "logo-uri",
			Placeholder: "URL",
			Help:        "Its logo, shown on the consent page.",
			Text:        func(c *Client) *string { return &c.LogoURI },
		},
		{
			Name:        "brand_color",
			Flag:        "brand-color",
			Placeholder: "#RRGGBB",
			Help:        "Its color on the sign-in and consent pages.",
			Text:        func(c *Client) *string { return &c.BrandColor },
			Normalize:   strings.ToLower,
		},
		{
			Name:        "tos_uri",
			Flag:        "tos-uri",
			Placeholder: "URL",
			Help:        "Its terms of service, linked on the consent page.",
			Text:        func(c *Client) *string { return &c.TermsURI },
		},
		{
			Name:        "policy_uri",
			Flag:        "policy-uri",
			Placeholder: "URL",
			Help:        "Its privacy policy, linked on the consent page.",
			Text:        func(c *Client) *string { return &c.PolicyURI },
		},
		{
			Name:        "contacts",
			Flag:        "contact",
			Placeholder: "EMAIL",
			Help:        "The email address of somebody who looks after it. May be repeated.",
			List:        func(c *Client) *[]string { return &c.Contacts },
			Normalize:   strings.TrimSpace,
		},
	}
}
