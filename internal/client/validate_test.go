package client_test

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	deviceGrant = client.GrantTypeDevice
	publicKeys  = `{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
		` "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`
	secretKeys = `{"keys": [{"kty": "oct", "kid": "1", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}]}`
)

func rules() client.Rules {
	return client.Rules{
		Grants: []client.GrantType{
			{
				Name:      client.GrantTypeCode,
				Aliases:   []string{"code"},
				Redirects: true,
				Approval:  true,
			},
			{Name: client.GrantTypeRefresh, Aliases: []string{"refresh"}, Continues: true},
			{Name: client.GrantTypeClient, Confidential: true},
			{
				Name:     deviceGrant,
				Short:    "device_code",
				Aliases:  []string{"device"},
				Approval: true,
			},
		},
		AuthMethods: []client.AuthMethod{
			{Name: client.MethodBasic},
			{Name: client.MethodPost},
			{Name: client.MethodPrivateKey, Keys: true},
			{Name: client.MethodNone, Public: true},
		},
		Algorithms: []string{"RS256", "ES256", "EdDSA", "PS256"},
	}
}

// web returns a valid confidential client.
func web() *client.Client {
	return &client.Client{
		ID:        "web",
		Name:      "Web",
		Grants:    []string{client.GrantTypeCode},
		Redirects: []string{"https://a.example/cb"},
	}
}

// A registration from before the rule for characters can be changed elsewhere.
func TestValidateChangeLeavesOldTextsAlone(t *testing.T) {
	old := web()
	old.Name, old.Description, old.Contacts = "Sh\u200bop", "a\u2028b", []string{"a\u034f@a.example"}
	c := *old
	c.URI = "https://a.example/"
	if err := c.ValidateChange(rules(), old); err != nil {
		t.Errorf("old texts stand in the way: %v", err)
	}
	c.Name = "Sh\u200bop 2"
	var e *fault.Error
	if err := c.ValidateChange(rules(), old); !errors.As(err, &e) || e.Field != "client_name" {
		t.Errorf("a changed name: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		change      func(c *client.Client)
		field, text string // "" if the registration is valid
	}{
		"valid":                 {func(*client.Client) {}, "", ""},
		"no name":               {func(c *client.Client) { c.Name = " " }, "client_name", "needs a name"},
		"control character":     {func(c *client.Client) { c.Name = "a\x1b" }, "client_name", "control character (U+001B)"},
		"long name":             {func(c *client.Client) { c.Name = strings.Repeat("x", 201) }, "client_name", "at most 200 bytes"},
		"reordering name":       {func(c *client.Client) { c.Name = "Shop\u202e" }, "client_name", "reorders text (U+202E)"},
		"invisible in name":     {func(c *client.Client) { c.Name = "Sh\u200bop" }, "client_name", "invisible character (U+200B)"},
		"joiners in name":       {func(c *client.Client) { c.Name = "می\u200cخواهم\u200e 👩\u200d🚀" }, "", ""},
		"lines in description":  {func(c *client.Client) { c.Description = "a\u2028b" }, "description", "line separator (U+2028)"},
		"invisible in contact":  {func(c *client.Client) { c.Contacts = []string{"a\u2060@a.example"} }, "contacts", "email"},
		"long description":      {func(c *client.Client) { c.Description = strings.Repeat("x", 1001) }, "description", "1000"},
		"space in id":           {func(c *client.Client) { c.ID = "a b" }, "client_id", "letters, digits"},
		"no grant":              {func(c *client.Client) { c.Grants = nil }, "grant_types", "device_code"},
		"refresh alone":         {func(c *client.Client) { c.Grants = []string{client.GrantTypeRefresh} }, "grant_types", "first token"},
		"code without redirect": {func(c *client.Client) { c.Redirects = nil }, "redirect_uris", "send people back"},
		"public machine": {func(c *client.Client) {
			c.Public, c.AuthMethod, c.Grants = true, client.MethodNone, []string{client.GrantTypeClient}
		}, "grant_types", "keep a secret"},
		"redirect over http":   {func(c *client.Client) { c.Redirects = []string{"http://a.example/cb"} }, "redirect_uris", "https"},
		"redirect to loopback": {func(c *client.Client) { c.Redirects = []string{"http://127.0.0.1/cb"} }, "", ""},
		"redirect to an app":   {func(c *client.Client) { c.Redirects = []string{"com.example.app:/cb"} }, "", ""},
		"logout over ftp":      {func(c *client.Client) { c.PostLogout = []string{"ftp://a.example"} }, "post_logout_redirect_uris", "scheme"},
		"unknown method":       {func(c *client.Client) { c.AuthMethod = "client_secret_basc" }, "token_endpoint_auth_method", "did you mean client_secret_basic?"},
		"none, confidential":   {func(c *client.Client) { c.AuthMethod = client.MethodNone }, "token_endpoint_auth_method", "public"},
		"secret, public":       {func(c *client.Client) { c.Public, c.AuthMethod = true, client.MethodBasic }, "token_endpoint_auth_method", "no secret"},
		"keys without method": {func(c *client.Client) {
			c.JWKS, c.Grants, c.Redirects = []byte(publicKeys), []string{client.GrantTypeClient}, nil
		}, "token_endpoint_auth_method", "private_key_jwt"},
		"method without keys": {func(c *client.Client) { c.AuthMethod = client.MethodPrivateKey }, "jwks", "public keys"},
		"keys twice": {func(c *client.Client) {
			c.AuthMethod, c.JWKS, c.JWKSURI = client.MethodPrivateKey, []byte(publicKeys), "https://a.example/jwks"
		}, "jwks", "exclude each other"},
		"keys":         {func(c *client.Client) { c.AuthMethod, c.JWKS = client.MethodPrivateKey, []byte(publicKeys) }, "", ""},
		"private keys": {func(c *client.Client) { c.AuthMethod, c.JWKS = client.MethodPrivateKey, []byte(secretKeys) }, "jwks", "private"},
		"keys over http": {func(c *client.Client) {
			c.AuthMethod, c.JWKSURI = client.MethodPrivateKey, "http://a.example/jwks"
		}, "jwks_uri", "https"},
		"relative resource":  {func(c *client.Client) { c.Resources = []string{"api"} }, "resources", "absolute URI"},
		"script as logo":     {func(c *client.Client) { c.LogoURI = "javascript:alert(1)" }, "logo_uri", "https"},
		"script as home":     {func(c *client.Client) { c.URI = "javascript:alert(1)" }, "client_uri", "https"},
		"http home":          {func(c *client.Client) { c.URI = "http://a.example" }, "client_uri", "https"},
		"http logo":          {func(c *client.Client) { c.LogoURI = "http://a.example/logo.png" }, "logo_uri", "https"},
		"script as terms":    {func(c *client.Client) { c.TermsURI = "javascript:alert(1)" }, "tos_uri", "https"},
		"http policy":        {func(c *client.Client) { c.PolicyURI = "http://a.example/privacy" }, "policy_uri", "https"},
		"long terms":         {func(c *client.Client) { c.TermsURI = "https://a.example/" + strings.Repeat("x", 2048) }, "tos_uri", "https"},
		"terms and policy":   {func(c *client.Client) { c.TermsURI, c.PolicyURI = "https://a.example/t", "https://a.example/p" }, "", ""},
		"contacts":           {func(c *client.Client) { c.Contacts = []string{"ada@example.com", "bob@example.com"} }, "", ""},
		"no address":         {func(c *client.Client) { c.Contacts = []string{"Ada"} }, "contacts", "not an email address"},
		"two in one":         {func(c *client.Client) { c.Contacts = []string{"a@a.example b@a.example"} }, "contacts", "not an email address"},
		"many contacts":      {func(c *client.Client) { c.Contacts = slices.Repeat([]string{"a@a.example"}, 11) }, "contacts", "at most 10"},
		"type header":        {func(c *client.Client) { c.TokenTyp = client.TypJWT }, "", ""},
		"other type header":  {func(c *client.Client) { c.TokenTyp = "jwt" }, "token_typ", "did you mean JWT?"},
		"unknown ID token":   {func(c *client.Client) { c.IDTokenProfile = "maybe" }, "id_token_profile", "on, off"},
		"secret assertions":  {func(c *client.Client) { c.AuthAlg = "HS256" }, "token_endpoint_auth_signing_alg", "RS256"},
		"unsigned requests":  {func(c *client.Client) { c.RequestAlg = "none" }, "request_object_signing_alg", "RS256"},
		"signed requests":    {func(c *client.Client) { c.RequestAlg = "ES256" }, "", ""},
		"keys for requests":  {func(c *client.Client) { c.JWKS = []byte(publicKeys) }, "", ""},
		"quote in scope":     {func(c *client.Client) { c.Scopes = []string{`a"b`} }, "scope", "characters"},
		"long access token":  {func(c *client.Client) { c.AccessTTL = 721 * time.Hour }, "access_token_ttl", "30 days"},
		"short id token":     {func(c *client.Client) { c.IDTokenTTL = time.Millisecond }, "id_token_ttl", "1 second"},
		"long refresh token": {func(c *client.Client) { c.RefreshTTL = 11 * 365 * 24 * time.Hour }, "refresh_token_ttl", "10 years"},
		"unknown format":     {func(c *client.Client) { c.TokenFormat = "jwe" }, "token_format", "did you mean jwt?"},
		"unknown algorithm":  {func(c *client.Client) { c.Alg = "HS256" }, "alg", "RS256"},
		"unknown rotation":   {func(c *client.Client) { c.Rotation = "maybe" }, "refresh_rotation", "on, off"},
		"two words as role":  {func(c *client.Client) { c.Roles = []string{"a b"} }, "roles", "one word"},
		"host bits":          {func(c *client.Client) { c.Networks = []string{"10.0.0.1/8"} }, "from_networks", "10.0.0.0/8"},
		"origin":             {func(c *client.Client) { c.Origins = []string{"https://a.example", "http://localhost:3000"} }, "", ""},
		"origin with a path": {func(c *client.Client) { c.Origins = []string{"https://a.example/"} }, "from_origins", "not an origin"},
		"origin, any":        {func(c *client.Client) { c.Origins = []string{"*"} }, "from_origins", "not an origin"},
		"origin, null":       {func(c *client.Client) { c.Origins = []string{"null"} }, "from_origins", "not an origin"},
		"origin, own port":   {func(c *client.Client) { c.Origins = []string{"https://a.example:443"} }, "from_origins", "leave out the port"},
		"host with port":     {func(c *client.Client) { c.Hosts = []string{"a.example:443"} }, "to_hosts", "without a port"},
		"half wildcard":      {func(c *client.Client) { c.Hosts = []string{"a*.example"} }, "to_hosts", "not a host"},
		"host, upper case":   {func(c *client.Client) { c.Hosts = []string{"A.example"} }, "to_hosts", "not a host"},
		"host, address":      {func(c *client.Client) { c.Hosts = []string{"2001:db8::1", "*.a.example"} }, "", ""},
		"rooted route":       {func(c *client.Client) { c.Routes = []string{"/shop/v1"} }, "to_routes", "not a route"},
		"wildcard route":     {func(c *client.Client) { c.Routes = []string{"shop/*"} }, "to_routes", "not a route"},
		"two keys":           {func(c *client.Client) { c.DPoPBound, c.CertBound = true, true }, "dpop_bound_access_tokens", "one key"},
	} {
		c := web()
		tt.change(c)
		err := c.Validate(rules())
		var f *fault.Error
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.field != "" && (!errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != tt.field || !strings.Contains(f.Text, tt.text)):
			t.Errorf("%s: %+v; want the field %s, and %q", name, err, tt.field, tt.text)
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	many := make([]string, 257)
	for i := range many {
		many[i] = "x" + strconv.Itoa(i)
	}
	for field, change := range map[string]func(*client.Client){
		"roles":         func(c *client.Client) { c.Roles = many },
		"from_networks": func(c *client.Client) { c.Networks = many },
		"from_origins":  func(c *client.Client) { c.Origins = many },
		"to_hosts":      func(c *client.Client) { c.Hosts = many },
		"to_routes":     func(c *client.Client) { c.Routes = many },
	} {
		c := web()
		change(c)
		var f *fault.Error
		if err := c.Validate(rules()); !errors.As(err, &f) || f.Field != field ||
			!strings.Contains(f.Text, "given 257 times") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestNormalize(t *testing.T) {
	c := &client.Client{
		Name:   " App ",
		Public: true,
		Grants: []string{"code", "device", "device_code", deviceGrant},
	}
	if err := c.Normalize(rules()); err != nil {
		t.Fatal(err)
	}
	if c.Name != "App" || c.AuthMethod != client.MethodNone ||
		!slices.Equal(c.Grants, []string{client.GrantTypeCode, deviceGrant}) {
		t.Errorf("got %+v", c)
	}
	for given, want := range map[string]string{
		"autorization_code": "did you mean authorization_code?", "refersh_token": "did you mean refresh_token?",
		"client_credential": "did you mean client_credentials?", "devicecode": "did you mean device_code?",
		"xyz": "use one of authorization_code, refresh_token, client_credentials, device_code", strings.Repeat("a", 1000): "use one of",
	} {
		err := (&client.Client{Grants: []string{given}}).Normalize(rules())
		var f *fault.Error
		if !errors.As(err, &f) || f.Field != "grant_types" || !strings.Contains(f.Text, want) {
			t.Errorf("%.40s: %v; want %q", given, err, want)
		}
	}
}

// TestEveryFieldIsListed compares the list with the struct: a field that the list lacks has no
// flag and no view.
func TestEveryFieldIsListed(t *testing.T) {
	var c client.Client
	places := map[any]string{}
	names := map[string]bool{}
	for _, f := range client.Fields(rules()) {
		for _, p := range []any{
			call(f.Text, &c), call(f.Switch, &c), call(f.List, &c), call(f.TTL, &c), call(f.JSON, &c),
		} {
			if p != nil {
				places[p] = f.Name
			}
		}
		if names[f.Name] || names["--"+f.Flag] || f.Flag == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s: the name or flag is there twice, or the help is not a sentence", f.Name)
		}
		names[f.Name], names["--"+f.Flag] = true, true
	}
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if slices.Contains([]string{"ID", "Secrets", "CreatedAt", "UpdatedAt", "Version", "Registration"}, name) {
			continue
		}
		if places[v.Field(i).Addr().Interface()] == "" {
			t.Errorf("client.Fields lacks %s", name)
		}
	}
}

func call[V any](place func(*client.Client) *V, c *client.Client) any {
	if place == nil {
		return nil
	}
	return place(c)
}
