package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// Where a route comes from.
const (
	routeOfDatabase = "database"
	routeOfFile     = "file"
)

// routeView is a route as the command line shows it.
type routeView struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Source   string   `json:"source"`   // database or file
	Address  string   `json:"address"`  // host and prefix, for people
	Resource string   `json:"resource"` // its resource identifier (RFC 9728 §1.2); "" if it cannot be used
	Problem  string   `json:"problem"`  // why it cannot be used, or ""
	Domain   string   `json:"domain"`
	Version  string   `json:"version"`
	Prefix   string   `json:"prefix"`
	Host     string   `json:"host"`
	Upstream []string `json:"upstreams"`

	KeepPath  bool             `json:"keep_path"`
	KeepHost  bool             `json:"keep_host"`
	Inactive  bool             `json:"inactive"`
	Browser   bool             `json:"browser"`
	Methods   []string         `json:"methods"`
	Timeout   *access.Duration `json:"timeout"`    // null is the default; likewise below
	BodyLimit int64            `json:"body_limit"` // bytes; 0 is no bound
	CORS      []string         `json:"cors"`

	Scopes       []string         `json:"scopes"`
	Roles        []string         `json:"roles"`
	Clients      []string         `json:"clients"`
	Networks     []string         `json:"networks"`
	Audiences    []string         `json:"audiences"`
	Issuers      []string         `json:"issuers"`
	ACR          string           `json:"acr"`
	MaxAge       *access.Duration `json:"max_age"`
	Unidentified bool             `json:"allow_unidentified"`
	ClientID     bool             `json:"allow_client_id"`

	Rate        int              `json:"rate"` // 0 is the default, -1 none
	RatePer     *access.Duration `json:"rate_per"`
	RateBy      string           `json:"rate_by"`
	HealthPath  string           `json:"health_path"`
	HealthEvery *access.Duration `json:"health_every"`
	CreatedAt   when             `json:"created_at"`
	UpdatedAt   when             `json:"updated_at"`
}

// view shows a route with what comes of it when it is compiled.
func (s *routeSet) view(r *access.Route) *routeView {
	v := &routeView{
		ID: r.ID, Name: r.Name, Source: routeOfDatabase, Domain: r.Domain, Version: r.Version, Prefix: r.Prefix, Host: r.Host,
		Upstream: words(r.Upstreams), KeepPath: r.KeepPath, KeepHost: r.KeepHost, Inactive: r.Inactive, Browser: r.Browser,
		Methods: words(r.Methods), Timeout: orNull(r.Timeout), BodyLimit: r.BodyLimit, CORS: words(r.CORS), Scopes: words(r.Scopes),
		Roles: words(r.Roles), Clients: words(r.Clients), Networks: words(r.Networks), Audiences: words(r.Audiences),
		Issuers: words(r.Issuers), ACR: r.ACR, MaxAge: orNull(r.MaxAge), Unidentified: r.Unidentified, ClientID: r.ClientID,
		Rate: r.Rate, RatePer: orNull(r.RatePer), RateBy: r.RateBy, HealthPath: r.HealthPath, HealthEvery: orNull(r.HealthEvery),
		CreatedAt: when{r.CreatedAt}, UpdatedAt: when{r.UpdatedAt},
	}
	if ofFile(r) {
		v.Source = routeOfFile
	}
	c, err := access.Compile(*r, s.options)
	if err != nil {
		v.Problem = err.Error()
		return v
	}
	v.Name, v.Address, v.Resource, v.Host = c.Route().Name, c.Address(), c.Resource(), c.Route().Host
	return v
}

func orNull(s access.Duration) *access.Duration {
	if s == 0 {
		return nil
	}
	return &s
}

func (v *routeView) state() string {
	switch {
	case v.Problem != "":
		return "unusable"
	case v.Inactive:
		return "inactive"
	}
	return "active"
}

// who says in a few words who may pass.
func (v *routeView) who() string {
	if v.Unidentified {
		return "anyone"
	}
	var out []string
	for _, rule := range []struct {
		name string
		list []string
	}{{"scope", v.Scopes}, {"role", v.Roles}, {"client", v.Clients}, {"network", v.Networks}} {
		if len(rule.list) > 0 {
			out = append(out, rule.name+" "+strings.Join(rule.list, " "))
		}
	}
	if v.ACR != "" {
		out = append(out, v.ACR)
	}
	if len(out) == 0 {
		return "anyone known"
	}
	return strings.Join(out, ", ")
}

func (v *routeView) print(s *sheet) {
	s.pair("id", v.ID)
	s.pair("name", v.Name)
	s.pair("source", v.Source)
	s.pair("state", v.state())
	s.pair("problem", v.Problem)
	s.pair("address", v.Address)
	s.pair("resource", v.Resource)
	for _, u := range v.Upstream {
		s.pair("upstream", u)
	}
	v.printRules(s)
	s.pair("rate", v.rate())
	s.pair("timeout", spanText(v.Timeout))
	if v.BodyLimit > 0 {
		s.pair("body_limit", strconv.FormatInt(v.BodyLimit, 10))
	}
	s.pair("cors", strings.Join(v.CORS, " "))
	s.pair("health_path", v.HealthPath)
	s.pair("health_every", spanText(v.HealthEvery))
	for _, flag := range []struct {
		name string
		on   bool
	}{{"keep_path", v.KeepPath}, {"keep_host", v.KeepHost}, {"browser", v.Browser}} {
		if flag.on {
			s.pair(flag.name, "yes")
		}
	}
	s.pair("created_at", v.CreatedAt.String())
	s.pair("updated_at", v.UpdatedAt.String())
}

func (v *routeView) printRules(s *sheet) {
	s.pair("methods", strings.Join(v.Methods, " "))
	s.pair("scopes", strings.Join(v.Scopes, " "))
	s.pair("roles", strings.Join(v.Roles, " "))
	s.pair("clients", strings.Join(v.Clients, " "))
	s.pair("networks", strings.Join(v.Networks, " "))
	s.pair("audiences", strings.Join(v.Audiences, " "))
	s.pair("issuers", strings.Join(v.Issuers, " "))
	s.pair("acr", v.ACR)
	s.pair("max_age", spanText(v.MaxAge))
	if v.Unidentified {
		s.pair("allow_unidentified", "yes")
	}
	if v.ClientID {
		s.pair("allow_client_id", "yes")
	}
}

// rate is the limit in words, or "" for the default.
func (v *routeView) rate() string {
	if v.Rate == 0 {
		return ""
	}
	if v.Rate < 0 {
		return "none"
	}
	text := strconv.Itoa(v.Rate) + " in " + life(time.Minute).String()
	if v.RatePer != nil {
		text = strconv.Itoa(v.Rate) + " in " + spanText(v.RatePer)
	}
	if v.RateBy != "" {
		text += " by " + v.RateBy
	}
	return text
}

func spanText(s *access.Duration) string {
	if s == nil {
		return ""
	}
	return life(s.D()).String()
}
