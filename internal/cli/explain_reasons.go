package cli

import (
	"maps"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// reasonText explains a reason of the audit log. CLIENT and USER stand for the ids.
type reasonText struct{ what, remedy string }

// Remedies for several reasons.
const (
	remedyShowClient = "Compare with gatehouse client show CLIENT."
	remedyClock      = "Set the clock of the client's machine, and make a new assertion for each request."
	remedyAssertion  = "Make a new assertion for each request, as RFC 7523 says."
	remedySecret     = "Give the client its newest secret; create one with gatehouse client rotate-secret CLIENT."
	remedyUniqueID   = "Give each assertion a jti of its own, and send it once."
	remedyKeys       = "Register the key that it signs with: gatehouse client update CLIENT --jwks FILE."
	remedyCode       = "Enter the code that the app shows now; if it stays wrong, set the clock of the phone."
	remedyLock       = "Wait until the lock ends, or run gatehouse user unlock USER."
	remedyPasskey    = "Open the login page again and use the passkey once more, or sign in another way."
	remedyPassword   = "Type it again, or run gatehouse user set-password USER."
)

// reasonTexts returns the texts for the reasons of failed sign-ins and client authentications.
func reasonTexts() map[string]reasonText {
	texts := clientReasons()
	maps.Copy(texts, assertionReasons())
	texts[audit.ReasonRedirectUnknown] = redirectReason()
	texts[audit.ReasonPostLogoutUnknown] = reasonText{
		"The post_logout_redirect_uri that the app sent is not among those registered; they are compared " +
			"character by character.",
		"Correct the app, or register the address, beside those that stay: " +
			"gatehouse client update CLIENT --post-logout-redirect-uri URI --post-logout-redirect-uri URI.",
	}
	texts[audit.ReasonReturnUnknown] = reasonText{
		"The address that the app wanted to return to after the sign-in is neither a path nor at an origin " +
			"that it has registered.",
		"Correct the app's link to /session/login, or register an address of that origin, beside those that " +
			"stay: gatehouse client update CLIENT --redirect-uri URI --redirect-uri URI.",
	}
	texts[audit.ReasonRequestObject] = reasonText{
		"The signed request of the app (parameter request, RFC 9101) was not accepted; the detail says why.",
		"Correct what the app signs, and register the key that it signs with: " +
			"gatehouse client update CLIENT --jwks FILE.",
	}
	for reason, text := range userReasons() {
		texts[reason] = text
	}
	return texts
}

func redirectReason() reasonText {
	return reasonText{
		"The redirect_uri that the app sent is not among those registered; they are compared character by character.",
		"Correct the app, or register the address, beside those that stay: " +
			"gatehouse client update CLIENT --redirect-uri URI --redirect-uri URI.",
	}
}

func clientReasons() map[string]reasonText {
	return map[string]reasonText{
		audit.ReasonRepeatedFailures: {
			"More attempts failed than are recorded one by one; the detail has their count.",
			"Look at the single failures before it. If the caller is a stranger, block its address.",
		},
		audit.ReasonUnknownClient: {
			"There is no client with this id.",
			"Check client_id; gatehouse client list shows all clients.",
		},
		audit.ReasonClientDisabled: {
			"The client is disabled.",
			"Run gatehouse client update CLIENT --no-disabled.",
		},
		audit.ReasonNotLocal: {
			"The client is only served to programs on the server's own machine.",
			"Call a loopback address of the server from the same machine, past no proxy; or run " +
				"gatehouse client update CLIENT --no-loopback-only.",
		},
		audit.ReasonWrongMethod: {
			"The client did not authenticate with the method that it is registered with.",
			remedyShowClient,
		},
		audit.ReasonWrongSecret: {"The client's secret is wrong.", remedySecret},
		audit.ReasonNoSecret: {
			"The client has no secret.",
			"Create one with gatehouse client rotate-secret CLIENT.",
		},
		audit.ReasonSecretExpired: {
			"The client's secret has been replaced and has expired.",
			remedySecret,
		},
	}
}

// assertionReasons returns the texts for what is wrong with assertions and keys of clients.
func assertionReasons() map[string]reasonText {
	return map[string]reasonText{
		audit.ReasonAssertionMalformed: {"The client's assertion is not a signed JWT.", remedyAssertion},
		audit.ReasonAssertionReplayed:  {"The client's assertion was used before.", remedyUniqueID},
		audit.ReasonAssertionWrongIssuer: {
			"The claims iss and sub of the client's assertion are not its id.",
			"Set both to the client_id (RFC 7523 section 3).",
		},
		audit.ReasonAssertionWrongAudience: {
			"The claim aud of the client's assertion is not this server.",
			"Set it to the issuer's address.",
		},
		audit.ReasonAssertionWithoutID: {"The client's assertion has no jti.", remedyUniqueID},
		audit.ReasonAssertionExpired:   {"The client's assertion has expired.", remedyClock},
		audit.ReasonAssertionTooLong: {
			"The client's assertion is valid for too long.",
			"Let it expire a few minutes after it is made.",
		},
		audit.ReasonAssertionNotYetValid: {
			"The claim nbf of the client's assertion lies in the future.",
			remedyClock,
		},
		audit.ReasonAssertionFromFuture: {
			"The claim iat of the client's assertion lies in the future.",
			remedyClock,
		},
		audit.ReasonAssertionSignature: {
			"No registered key of the client verifies its assertion's signature.",
			remedyKeys,
		},
		audit.ReasonNoKeysRegistered:   {"The client has no keys.", remedyKeys},
		audit.ReasonJWKSURIUnreachable: {"The client's keys could not be read from its jwks_uri.", remedyShowClient},
		audit.ReasonJWKSUnusable:       {"The client's keys cannot be used.", remedyShowClient},
	}
}

func userReasons() map[string]reasonText {
	return map[string]reasonText{
		audit.ReasonUnknownUser: {
			"There is no such user.",
			"Check the name or address; gatehouse user list shows all users.",
		},
		audit.ReasonWrongPassword: {"The password is wrong.", remedyPassword},
		audit.ReasonUnusableHash: {
			"The stored password cannot be checked.",
			"Run gatehouse user set-password USER.",
		},
		audit.ReasonDisabled: {
			"The user is disabled.",
			"Run gatehouse user enable USER, if that was a mistake.",
		},
		audit.ReasonLocked:          {"The account was locked after too many failures.", remedyLock},
		audit.ReasonTooManyFailures: {"There were too many failures, so the account is locked now.", remedyLock},
		audit.ReasonWrongCode:       {"The one-time code is wrong.", remedyCode},
		audit.ReasonReplayedCode:    {"The one-time code was used before.", "Wait for the next one."},
		audit.ReasonEnrollWrongCode: {
			"The code that should prove the new authenticator app is wrong.",
			remedyCode,
		},
		audit.ReasonUnknownPasskey: {
			"The passkey belongs to no account here: it was removed, or its account was deleted.",
			"Sign in another way, and delete the passkey from the device.",
		},
		audit.ReasonWrongPasskey: {
			"The passkey belongs to another account, or its answer does not verify.",
			remedyPasskey,
		},
		audit.ReasonUnverifiedPasskey: {
			"The device did not check that the person is its owner.",
			"Turn on a fingerprint, face or PIN on the device, or sign in another way.",
		},
		audit.ReasonReplayedPasskey: {
			"The passkey's answer was used before.",
			remedyPasskey,
		},
		audit.ReasonClonedPasskey: {
			"The passkey's counter went back, so that there may be a copy of it.",
			"Remove the passkey from the account, and add a new one.",
		},
		audit.ReasonInteractionRequired: {
			"The account needs a step in a browser, which the password grant does not have.",
			"Sign in at the login page, or let the client use authorization_code.",
		},
	}
}
