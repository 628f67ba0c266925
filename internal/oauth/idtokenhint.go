package oauth

import (
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// idTokenHint is the part of an ID token that matters in an id_token_hint.
type idTokenHint struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience Audience `json:"aud"`
	Grant    string   `json:"gid"` // in access tokens only
}

// readIDTokenHint reads an ID token of ours, which may have expired: a hint says who the user
// is, not that they are present.
func (s *Server) readIDTokenHint(token string) (*idTokenHint, error) {
	raw, err := s.ring.Verify(token, TypeIDToken)
	if err != nil {
		return nil, err
	}
	t := &idTokenHint{}
	if err := json.Unmarshal(raw, t); err != nil {
		return nil, err
	}
	if t.Issuer != s.cfg.Issuer {
		return nil, fault.New(fault.Denied, "the ID token is another issuer's")
	}
	if t.Grant != "" { // an access token of a client that wants the same typ (RFC 8725 §3.12)
		return nil, fault.New(fault.Denied, "the token is not an ID token")
	}
	return t, nil
}
