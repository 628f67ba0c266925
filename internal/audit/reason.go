package audit

// Reasons of failed client authentications. They are stable: alerts and `gatehouse explain` depend
// on them.
const (
	ReasonRepeatedFailures = "repeated_failures" // an event for many, with their count

	ReasonUnknownClient  = "unknown_client"
	ReasonClientDisabled = "client_disabled"
	ReasonNotLocal       = "not_on_this_machine" // of a client for programs on the server's machine
	ReasonWrongMethod    = "wrong_method"
	ReasonWrongSecret    = "wrong_secret"
	ReasonNoSecret       = "no_secret"
	ReasonSecretExpired  = "secret_expired"

	ReasonAssertionMalformed     = "assertion_malformed"
	ReasonAssertionReplayed      = "assertion_replayed"
	ReasonAssertionWrongIssuer   = "assertion_wrong_issuer"
	ReasonAssertionWrongAudience = "assertion_wrong_audience"
	ReasonAssertionWithoutID     = "assertion_without_jti"
	ReasonAssertionExpired       = "assertion_expired"
	ReasonAssertionTooLong       = "assertion_lives_too_long"
	ReasonAssertionNotYetValid   = "assertion_not_yet_valid"
	ReasonAssertionFromFuture    = "assertion_from_the_future"
	ReasonAssertionSignature     = "assertion_signature"
	ReasonNoKeysRegistered       = "no_keys_registered"
	ReasonJWKSURIUnreachable     = "jwks_uri_unreachable"
	ReasonJWKSUnusable           = "jwks_unusable"
)

// Reasons of failed requests that come by way of a browser: an address is not registered, or the
// request object is refused.
const (
	ReasonRedirectUnknown   = "redirect_uri_not_registered"
	ReasonPostLogoutUnknown = "post_logout_redirect_uri_not_registered"
	ReasonReturnUnknown     = "return_to_not_registered"
	ReasonRequestObject     = "request_object_refused"
)

// Reasons of failed sign-ins.
const (
	ReasonUnknownUser         = "unknown_user"
	ReasonWrongPassword       = "wrong_password"
	ReasonUnusableHash        = "unusable_hash"
	ReasonDisabled            = "disabled"
	ReasonLockedByAdmin       = "locked_by_admin"
	ReasonLocked              = "locked"
	ReasonTooManyFailures     = "too_many_failures"
	ReasonWrongCode           = "wrong_code"
	ReasonReplayedCode        = "replayed_code"
	ReasonEnrollWrongCode     = "enroll_wrong_code"
	ReasonInteractionRequired = "interaction_required"
	ReasonUnknownPasskey      = "unknown_passkey"
	ReasonWrongPasskey        = "wrong_passkey" // another account's, or its answer does not verify
	ReasonUnverifiedPasskey   = "passkey_without_user_verification"
	ReasonReplayedPasskey     = "replayed_passkey"
	ReasonClonedPasskey       = "cloned_passkey" // the counter of a device went back
)

// ReasonUnusableLink is the reason of a link that was used already, has expired or never existed.
const ReasonUnusableLink = "unusable_link"

// Reasons why a browser session ended, beside its owner's wish.
const (
	ReasonAnotherUser = "another_user"
	ReasonTokensEnded = "tokens_ended"
)
