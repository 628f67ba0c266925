package oauth

import (
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// ClaimsRequest is the claims parameter (OpenID Connect Core §5.5). A null member asks for the
// claim without more.
type ClaimsRequest struct {
	UserInfo map[string]*ClaimRequest `json:"userinfo,omitempty"`
	IDToken  map[string]*ClaimRequest `json:"id_token,omitempty"`
}

// ClaimRequest is how one claim is asked for (§5.5.1).
type ClaimRequest struct {
	Essential bool              `json:"essential,omitempty"`
	Value     json.RawMessage   `json:"value,omitempty"`
	Values    []json.RawMessage `json:"values,omitempty"`
}

// readClaims reads the parameter, and takes from it who must be signed in and how.
func (r *request) readClaims(raw string) error {
	if len(raw) > maxClaims {
		return InvalidRequest("claims is longer than %d bytes.", maxClaims)
	}
	var p ClaimsRequest
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return InvalidRequest("claims is not a JSON object as OpenID Connect Core section 5.5 describes it.")
	}
	if w := p.IDToken["sub"]; w != nil && len(w.Value) > 0 {
		sub := text(w.Value)
		if sub == "" { // a wish that cannot be read must not pass for no wish: anyone would do then
			return InvalidRequest("claims asks for a sub that is not a string.")
		}
		if r.subject != "" && r.subject != sub {
			return InvalidRequest("claims and id_token_hint name different users.")
		}
		r.subject = sub
	}
	if w := p.IDToken["acr"]; w != nil {
		r.requestACR(w)
	}
	kept, err := json.Marshal(p)
	if err != nil {
		return err
	}
	r.claims = kept
	return nil
}

// requestACR takes the weakest class that satisfies an essential wish, or the strongest of a
// voluntary one.
func (r *request) requestACR(w *ClaimRequest) {
	all := w.Values
	if len(w.Value) > 0 {
		all = append(all, w.Value)
	}
	if len(all) == 0 {
		return
	}
	best := 0
	for _, v := range all {
		rank := identity.ACRRank(text(v))
		if rank > 0 && (best == 0 || (w.Essential && rank < best) || (!w.Essential && rank > best)) {
			best, r.acr = rank, text(v)
		}
	}
	if w.Essential {
		r.essential = true
		if best == 0 {
			r.acr = ""
		}
	}
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// wants reads the stored claims parameter of a grant.
func ParseClaims(raw json.RawMessage) ClaimsRequest {
	var p ClaimsRequest
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, &p) // written by readClaims; unreadable means nothing was asked for
	}
	return p
}
