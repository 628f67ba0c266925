package account

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// exported lists everything that a copy of a person's data contains. What is not listed here is not
// in it: no hash, key, code or token, and nothing about other people.
type exported struct {
	ExportedAt time.Time         `json:"exported_at"`
	Issuer     string            `json:"issuer"`
	Account    exportedAccount   `json:"account"`
	Profile    map[string]string `json:"profile"`
	Picture    *exportedPicture  `json:"picture,omitempty"`
	Factors    []exportedFactor  `json:"second_factors"`
	Sessions   []exportedSession `json:"sessions"`
	Apps       []exportedApp     `json:"connected_apps"`
	Grants     []exportedGrant   `json:"app_access"`
	SignIns    []exportedSignIn  `json:"sign_ins"`
}

type exportedAccount struct {
	ID                identity.UserID `json:"id"`
	Username          string          `json:"username,omitempty"`
	Email             string          `json:"email,omitempty"`
	EmailVerified     bool            `json:"email_verified"`
	OtherEmails       []string        `json:"other_emails,omitempty"`
	PhoneVerified     bool            `json:"phone_number_verified"`
	Roles             []string        `json:"roles"`
	CreatedAt         time.Time       `json:"created_at"`
	LastSignInAt      time.Time       `json:"last_sign_in_at,omitzero"`
	PasswordChangedAt time.Time       `json:"password_changed_at,omitzero"`
	BackupCodesLeft   int             `json:"backup_codes_left"`
}

type exportedPicture struct {
	Address string `json:"address"`
	Type    string `json:"type"`
	Data    string `json:"data"` // base64
}

type exportedFactor struct {
	Kind       string    `json:"kind"`
	Name       string    `json:"name,omitempty"`
	Since      time.Time `json:"since,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// exportedOrigin is where a request came from.
type exportedOrigin struct {
	IP      string `json:"ip,omitempty"`
	Agent   string `json:"user_agent,omitempty"`
	City    string `json:"city,omitempty"`
	Country string `json:"country,omitempty"`
}

type exportedSession struct {
	SignedInAt time.Time `json:"signed_in_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	Methods    []string  `json:"methods"`
	// An administrator acts as the person.
	Impersonated bool `json:"impersonated,omitempty"`
	exportedOrigin
}

type exportedApp struct {
	App    string    `json:"app"` // the client's id
	Scopes []string  `json:"scopes"`
	Since  time.Time `json:"since"`
}

type exportedGrant struct {
	App        string    `json:"app"`
	Scopes     []string  `json:"scopes"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
	exportedOrigin
}

type exportedSignIn struct {
	At       time.Time `json:"at"`
	OK       bool      `json:"succeeded"`
	Methods  []string  `json:"methods,omitempty"`
	App      string    `json:"app,omitempty"`
	Failures string    `json:"failures,omitempty"`
	// An administrator began to act as the person, for a reason.
	Impersonated bool   `json:"impersonated,omitempty"`
	Reason       string `json:"reason,omitempty"`
	exportedOrigin
}

// maxExported bounds the sign-ins in a copy: the newest ones.
const maxExported = 1000

// Export returns a copy of the caller's data as JSON, and tells the caller by mail that somebody
// has it. Inputs: current_password, code.
func (s *Server) Export(ctx context.Context, c Caller, in url.Values) ([]byte, error) {
	if err := c.own(); err != nil {
		return nil, err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return nil, err
	}
	out, err := s.collect(ctx, c)
	if err != nil {
		return nil, err
	}
	body, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, err
	}
	ev := c.event(audit.DataExported)
	s.login.Notify(&ev, c.User, outbox.MessageDataExported, "/account/security")
	return body, s.store.Record(ctx, ev)
}

// collect reads what a copy contains.
func (s *Server) collect(ctx context.Context, c Caller) (*exported, error) {
	u := c.User
	out := &exported{
		ExportedAt: c.Now.UTC(),
		Issuer:     s.cfg.BaseURL,
		Account: exportedAccount{
			ID:                u.ID,
			Username:          u.Username,
			Email:             u.Email,
			EmailVerified:     u.EmailVerified,
			PhoneVerified:     u.PhoneVerified,
			Roles:             u.Roles,
			CreatedAt:         u.CreatedAt.UTC(),
			LastSignInAt:      u.LastLoginAt,
			PasswordChangedAt: u.PasswordChangedAt,
		},
		Profile: map[string]string{},
	}
	for _, f := range identity.ProfileFields() {
		if value := *f.Text(u); value != "" {
			out.Profile[f.Input()] = value
		}
	}
	others, err := s.store.UserEmails(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	for _, x := range others {
		out.Account.OtherEmails = append(out.Account.OtherEmails, x.Email)
	}
	if err := s.collectFactors(ctx, c, out); err != nil {
		return nil, err
	}
	if err := s.collectAccess(ctx, c, out); err != nil {
		return nil, err
	}
	return out, s.collectSignIns(ctx, c, out)
}

func (s *Server) collectFactors(ctx context.Context, c Caller, out *exported) error {
	f, err := s.Factors(ctx, c)
	if err != nil {
		return err
	}
	out.Account.BackupCodesLeft = f.BackupLeft
	creds, err := s.store.Credentials(ctx, c.User.ID)
	if err != nil {
		return err
	}
	for _, x := range creds {
		out.Factors = append(out.Factors, exportedFactor{
			Kind:       x.Kind,
			Name:       x.Label,
			Since:      x.ConfirmedAt,
			LastUsedAt: x.LastUsedAt,
		})
	}
	id := pictureID(c.User.Picture)
	if id == "" {
		return nil
	}
	p, err := s.Picture(ctx, id)
	if err != nil {
		return ignoreNotFound(err)
	}
	out.Picture = &exportedPicture{
		Address: c.User.Picture,
		Type:    p.Kind,
		Data:    base64.StdEncoding.EncodeToString(p.Data),
	}
	return nil
}

func (s *Server) collectAccess(ctx context.Context, c Caller, out *exported) error {
	access, err := s.Access(ctx, c)
	if err != nil {
		return err
	}
	for _, x := range access.Sessions {
		e := exportedSession{
			SignedInAt:     x.AuthTime,
			LastUsedAt:     x.LastSeenAt,
			Methods:        x.AMR,
			exportedOrigin: s.origin(c, x.IP, x.Agent),
		}
		if x.Impersonated() {
			e.Impersonated, e.SignedInAt, e.exportedOrigin = true, x.CreatedAt, exportedOrigin{}
		}
		out.Sessions = append(out.Sessions, e)
	}
	for _, x := range access.Grants {
		out.Grants = append(out.Grants, exportedGrant{
			App:            string(x.Client),
			Scopes:         x.Scopes,
			CreatedAt:      x.CreatedAt,
			LastUsedAt:     x.LastUsedAt,
			exportedOrigin: s.origin(c, x.IP, x.Agent),
		})
	}
	apps, err := s.Apps(ctx, c)
	for _, x := range apps {
		out.Apps = append(out.Apps, exportedApp{string(x.Client), x.Scopes, x.CreatedAt})
	}
	return err
}

func (s *Server) collectSignIns(ctx context.Context, c Caller, out *exported) error {
	events, err := s.history(ctx, c, "", maxExported)
	for i := range events {
		x := s.signIn(&events[i])
		out.SignIns = append(out.SignIns, exportedSignIn{
			At:             x.At,
			OK:             !x.Failed,
			Methods:        x.Methods,
			App:            string(x.Client),
			Failures:       x.Times,
			Impersonated:   x.Impersonated,
			Reason:         x.Why,
			exportedOrigin: s.origin(c, x.IP, x.Agent),
		})
	}
	return err
}

func (s *Server) origin(c Caller, ip, agent string) exportedOrigin {
	city, country := s.Place(ip).In(c.User.Locale)
	return exportedOrigin{IP: ip, Agent: agent, City: city, Country: country}
}
