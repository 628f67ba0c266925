package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// tokenData is the JSON form of an opaque access token. Times are Unix seconds, as in a JWT.
type tokenData struct {
	ID       string          `json:"jti"`
	Grant    string          `json:"gid,omitempty"`
	Client   string          `json:"client_id"`
	User     string          `json:"user,omitempty"`
	Session  string          `json:"sid,omitempty"`
	Subject  string          `json:"sub"`
	Scopes   []string        `json:"scopes,omitempty"`
	Audience []string        `json:"aud,omitempty"`
	Claims   json.RawMessage `json:"claims,omitempty"`
	Roles    []string        `json:"roles,omitempty"`
	AuthTime int64           `json:"auth_time,omitempty"`
	ACR      string          `json:"acr,omitempty"`
	AMR      []string        `json:"amr,omitempty"`
	IssuedAt int64           `json:"iat"`
	Expires  int64           `json:"exp"`
	Bound    string          `json:"bound,omitempty"`
	Actor    string          `json:"act,omitempty"`
}

func dataOfToken(t *oauth.AccessToken) tokenData {
	return tokenData{
		ID:       t.ID,
		Grant:    string(t.Grant),
		Client:   string(t.Client),
		User:     string(t.User),
		Session:  string(t.Session),
		Subject:  t.Subject,
		Scopes:   t.Scopes,
		Audience: t.Audience,
		Claims:   t.Claims,
		Roles:    t.Roles,
		AuthTime: unixSeconds(t.AuthTime),
		ACR:      t.ACR,
		AMR:      t.AMR,
		IssuedAt: unixSeconds(t.IssuedAt),
		Expires:  unixSeconds(t.Expires),
		Bound:    t.Bound,
		Actor:    t.Actor,
	}
}

func (v *tokenData) token() *oauth.AccessToken {
	return &oauth.AccessToken{
		ID:       v.ID,
		Grant:    oauth.GrantID(v.Grant),
		Client:   client.ID(v.Client),
		User:     identity.UserID(v.User),
		Session:  identity.SessionID(v.Session),
		Subject:  v.Subject,
		Scopes:   v.Scopes,
		Audience: v.Audience,
		Claims:   v.Claims,
		Roles:    v.Roles,
		AuthTime: fromSeconds(v.AuthTime),
		ACR:      v.ACR,
		AMR:      v.AMR,
		IssuedAt: fromSeconds(v.IssuedAt),
		Expires:  fromSeconds(v.Expires),
		Bound:    v.Bound,
		Actor:    v.Actor,
	}
}

// unixSeconds returns a time in Unix seconds, 0 for the zero time.
func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// fromSeconds returns the time of Unix seconds in UTC, and the zero time for 0.
func fromSeconds(s int64) time.Time { return fromMilli(s * 1000) }

// PutOpaque stores an opaque access token under its hash.
func (d *DB) PutOpaque(ctx context.Context, h secret.Hash, t *oauth.AccessToken) error {
	data, err := json.Marshal(dataOfToken(t))
	if err != nil {
		return err
	}
	_, err = d.sql.Exec(ctx, "INSERT INTO opaque_tokens (hash, grant_id, data, expires_at) VALUES ($1, $2, $3, $4)",
		h, t.Grant, string(data), unixMilli(t.Expires))
	return err
}

// Opaque reads an opaque access token that has not expired, or NotFound. It does not check
// revocations: see Revoked.
func (d *DB) Opaque(ctx context.Context, h secret.Hash, now time.Time) (*oauth.AccessToken, error) {
	var text string
	row := d.sql.Row(ctx, "SELECT data FROM opaque_tokens WHERE hash = $1 AND expires_at > $2", h, unixMilli(now))
	err := row.Scan(&text)
	if err != nil {
		return nil, asNotFound(err, "token")
	}
	var v tokenData
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, err
	}
	return v.token(), nil
}
