package oauth

import (
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// ClaimsRequest is the claims parameter (OpenID Connect Core §5.5). A null member requests the
// claim without any condition.
type ClaimsRequest struct {
	UserInfo map[string]*ClaimRequest `json:"userinfo,omitempty"`
	IDToken  map[string]*ClaimRequest `json:"id_token,omitempty"`
}

// ClaimRequest is the request for one claim (§5.5.1).
type ClaimRequest struct {
	Essential bool              `json:"essential,omitempty"`
	Value     json.RawMessage   `json:"value,omitempty"`
	Values    []json.RawMessage `json:"values,omitempty"`
}

// ParseClaims reads the claims parameter that is stored with a grant.
func ParseClaims(raw json.RawMessage) ClaimsRequest {
	var p ClaimsRequest
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, &p) // written by readClaims; unreadable means nothing is requested
	}
	return p
}

// readClaims reads the parameter, with the user and the class of sign-in that it requires. It
// keeps the claims that the client may have, and adds the scopes that give them to what the
// person must allow.
func (r *authorization) readClaims(raw string) error {
	if len(raw) > maxClaims {
		return InvalidRequest("claims is longer than %d bytes.", maxClaims)
	}
	var p ClaimsRequest
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return InvalidRequest(
			"claims is not a JSON object as OpenID Connect Core section 5.5 describes it.")
	}
	if sub := p.IDToken["sub"]; sub != nil && len(sub.Value) > 0 {
		if err := r.requireSubject(jsonString(sub.Value)); err != nil {
			return err
		}
	}
	if acr := p.IDToken["acr"]; acr != nil {
		r.requestACR(acr)
	}
	allowed := p.Allowed(r.client)
	r.consents = withClaimScopes(r.scopes, allowed)
	var err error
	r.claims, err = json.Marshal(allowed)
	return err
}

// requireSubject requires one user. An unreadable sub, which is "", must not be treated as
// absent, or any user would satisfy it.
func (r *authorization) requireSubject(sub string) error {
	if sub == "" {
		return InvalidRequest("claims asks for a sub that is not a string.")
	}
	if r.subject != "" && r.subject != sub {
		return InvalidRequest("claims and id_token_hint name different users.")
	}
	r.subject = sub
	return nil
}

// requestACR sets the class of sign-in to reach: the weakest one that satisfies an essential
// request, or the strongest one of a voluntary request.
func (r *authorization) requestACR(acr *ClaimRequest) {
	all := acr.Values
	if len(acr.Value) > 0 {
		all = append(all, acr.Value)
	}
	if len(all) == 0 {
		return
	}
	best := 0
	for _, v := range all {
		rank := identity.ACRRank(jsonString(v))
		if rank == 0 {
			continue
		}
		if best == 0 || (acr.Essential && rank < best) || (!acr.Essential && rank > best) {
			best, r.acr = rank, jsonString(v)
		}
	}
	if acr.Essential {
		r.essential = true
		if best == 0 {
			r.acr = ""
		}
	}
}

// jsonString returns a JSON string, or "" for any other value.
func jsonString(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
