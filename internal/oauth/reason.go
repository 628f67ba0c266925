package oauth

// Reasons of errors that a person sees, because no client can be answered.
const (
	ReasonSessionChanged = "session_changed"
)
