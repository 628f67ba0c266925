package admin

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// minForeignSecret is the length of the shortest secret of another program that a client keeps.
const minForeignSecret = 16

// setSecret keeps a secret, unless others could guess it.
func (c *foreignClient) setSecret(text string) {
	switch {
	case text == "":
	case len(text) < minForeignSecret:
		c.notes = append(c.notes, "its secret is too short to be kept")
	default:
		c.secret = text
	}
}

// setGrants keeps the grant types that exist here and that the client can use.
func (c *foreignClient) setGrants(grants []string) {
	var left []string
	for _, g := range grants {
		switch g {
		case client.GrantTypeCode, client.GrantTypeRefresh:
			if len(c.values["redirect_uris"]) == 0 && !slices.Contains(grants, client.GrantTypeDevice) {
				left = append(left, g+" without a redirect URI")
				continue
			}
			if g == client.GrantTypeCode && len(c.values["redirect_uris"]) == 0 {
				continue
			}
		case client.GrantTypeDevice:
		case client.GrantTypeClient:
			if len(c.values["public"]) > 0 {
				left = append(left, g+" of a public client")
				continue
			}
		default:
			left = append(left, g)
			continue
		}
		c.values["grant_types"] = append(c.values["grant_types"], g)
	}
	if len(left) > 0 {
		c.notes = append(c.notes, "left out: "+strings.Join(left, ", "))
	}
}

// auth0Client reads a client of Auth0's management API. It returns nil for something else.
func auth0Client(raw json.RawMessage) (*foreignClient, error) {
	if !namesClient(raw) {
		return nil, nil
	}
	var in struct {
		ID          string `json:"client_id"`
		Name        string
		Description string
		Type        string    `json:"app_type"`
		Global      looseBool // stands for all clients
		FirstParty  looseBool `json:"is_first_party"`
		Callbacks   []string
		Logouts     []string `json:"allowed_logout_urls"`
		Grants      []string `json:"grant_types"`
		Method      string   `json:"token_endpoint_auth_method"`
		Secret      string   `json:"client_secret"`
		Logo        string   `json:"logo_uri"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, invalidFile("this is not a client of Auth0: %v", err)
	}
	if in.Global {
		return nil, nil
	}
	c := &foreignClient{id: client.ID(in.ID), values: map[string][]string{
		"client_name": {in.Name}, "description": {in.Description},
		"redirect_uris": in.Callbacks, "post_logout_redirect_uris": in.Logouts,
	}}
	if strings.HasPrefix(in.Logo, "https://") {
		c.values["logo_uri"] = []string{in.Logo}
	}
	if in.FirstParty {
		c.values["first_party"] = []string{"true"}
	}
	switch {
	case in.Method == client.MethodNone, in.Method == "" && slices.Contains([]string{"spa", "native"}, in.Type):
		c.values["public"] = []string{"true"}
	case in.Method != "":
		c.values["token_endpoint_auth_method"] = []string{in.Method}
	}
	if len(c.values["public"]) == 0 {
		c.setSecret(in.Secret)
	}
	c.setGrants(in.Grants)
	return c, nil
}

// authGateClient reads a row of the table oauth_applications of AuthGate. It returns nil for
// something else.
func authGateClient(raw json.RawMessage) (*foreignClient, error) {
	if !namesClient(raw) {
		return nil, nil
	}
	var in struct {
		ID          string `json:"client_id"`
		Name        string `json:"client_name"`
		Description string
		Scopes      looseList
		Grants      looseList `json:"grant_types"`
		Redirects   looseList `json:"redirect_uris"`
		Type        string    `json:"client_type"`
		Device      looseBool `json:"enable_device_flow"`
		Code        looseBool `json:"enable_auth_code_flow"`
		Machine     looseBool `json:"enable_client_credentials_flow"`
		Status      string
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, invalidFile("this is not an application of AuthGate: %v", err)
	}
	c := &foreignClient{id: client.ID(in.ID), values: map[string][]string{
		"client_name": {in.Name}, "description": {in.Description},
		"redirect_uris": in.Redirects, "scope": in.Scopes,
	}}
	if in.Type == "public" {
		c.values["public"] = []string{"true"}
	} else {
		c.notes = append(c.notes, "AuthGate stores a hash of its secret only, so it needs a new one")
	}
	if in.Status != "" && in.Status != "active" {
		c.values["disabled"] = []string{"true"}
	}
	var grants []string
	for _, g := range []struct {
		on   looseBool
		name string
	}{
		{in.Code, client.GrantTypeCode},
		{in.Device, client.GrantTypeDevice},
		{in.Machine, client.GrantTypeClient},
	} {
		if g.on {
			grants = append(grants, g.name)
		}
	}
	if in.Code || in.Device {
		grants = append(grants, client.GrantTypeRefresh)
	}
	c.setGrants(grants)
	return c, nil
}

// keycloakClient reads a client representation of Keycloak. It returns nil for those of Keycloak
// itself, and for something else.
func keycloakClient(raw json.RawMessage) (*foreignClient, error) {
	var in struct {
		ID          *string `json:"clientId"`
		Name        string
		Description string
		Protocol    string
		Enabled     *bool
		Public      bool     `json:"publicClient"`
		BearerOnly  bool     `json:"bearerOnly"`
		Code        *bool    `json:"standardFlowEnabled"`
		Machine     bool     `json:"serviceAccountsEnabled"`
		Redirects   []string `json:"redirectUris"`
		Secret      string
		Attributes  map[string]string
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, invalidFile("this is not a client of Keycloak: %v", err)
	}
	own := []string{
		"account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console",
	}
	if in.ID == nil || slices.Contains(own, *in.ID) {
		return nil, nil
	}
	if in.Protocol != "" && in.Protocol != "openid-connect" {
		return nil, invalidFile("client %.64q speaks %.32q, which cannot be imported", *in.ID, in.Protocol)
	}
	if in.Name == "" || strings.HasPrefix(in.Name, "${") {
		in.Name = *in.ID
	}
	c := &foreignClient{id: client.ID(*in.ID), values: map[string][]string{
		"client_name": {in.Name}, "description": {in.Description}, "redirect_uris": in.Redirects,
	}}
	if out := in.Attributes["post.logout.redirect.uris"]; out != "" && out != "+" && out != "-" {
		c.values["post_logout_redirect_uris"] = strings.Split(out, "##")
	}
	if in.Enabled != nil && !*in.Enabled {
		c.values["disabled"] = []string{"true"}
	}
	if in.BearerOnly {
		return nil, invalidFile("client %.64q only accepts tokens, and needs no registration", *in.ID)
	}
	if in.Public {
		c.values["public"] = []string{"true"}
	} else if strings.Trim(in.Secret, "*") != "" { // an export of the console masks it
		c.setSecret(in.Secret)
	}
	var grants []string
	if in.Code == nil || *in.Code {
		grants = append(grants, client.GrantTypeCode, client.GrantTypeRefresh)
	}
	if in.Machine {
		grants = append(grants, client.GrantTypeClient)
	}
	if in.Attributes["oauth2.device.authorization.grant.enabled"] == "true" {
		grants = append(grants, client.GrantTypeDevice)
	}
	c.setGrants(grants)
	return c, nil
}
