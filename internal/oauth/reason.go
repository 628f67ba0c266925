package oauth

import (
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Reasons of errors that a person sees, because no client can receive the response. A client
// that is unknown or disabled has the reasons of package audit.
const (
	ReasonClientMissing    = "client_id_missing"
	ReasonRedirectMissing  = "redirect_uri_missing"
	ReasonRedirectUnknown  = audit.ReasonRedirectUnknown
	ReasonRequestObject    = audit.ReasonRequestObject
	ReasonScopeNotAllowed  = "scope_not_allowed"
	ReasonRequestTooLong   = "request_too_long"
	ReasonFlowDamaged      = "flow_damaged"
	ReasonFlowUsed         = "flow_used"
	ReasonFlowExpired      = "flow_expired"
	ReasonSessionChanged   = "session_changed"
	ReasonLogoutRedirect   = audit.ReasonPostLogoutUnknown
	ReasonLogoutNotAllowed = "logout_not_allowed"
)

// invalid returns an Invalid error with a reason and a text for the person.
func invalid(reason, format string, args ...any) *fault.Error {
	return &fault.Error{Kind: fault.Invalid, Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// invalidBecause returns the error of invalid with a cause for the log.
func invalidBecause(cause error, reason, text string) *fault.Error {
	return &fault.Error{Kind: fault.Invalid, Reason: reason, Text: text, Cause: cause}
}
