package admin

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// ExampleMail returns a message as somebody gets it, with invented values. Its links lead to the
// pages of the issuer, where their tokens are worth nothing. Invalid if there is no such message.
func ExampleMail(issuer, message, locale string, now time.Time) (outbox.Mail, error) {
	if !slices.Contains(outbox.Messages(), message) {
		if near := spell.Nearest(message, outbox.Messages()); near != "" {
			return outbox.Mail{}, fault.InvalidField("template", "there is no message %q; did you mean %s?", message, near)
		}
		return outbox.Mail{}, fault.InvalidField("template", "there is no message %q; the messages are %s",
			message, strings.Join(outbox.Messages(), ", "))
	}
	m := outbox.Mail{Message: message, Locale: locale, Name: "Ada Lovelace", To: "ada@example.com"}
	if message != outbox.MessageTest {
		m.Values = exampleValues(issuer, message, now.UTC())
	}
	return m, nil
}

// exampleValues returns what a message mentions.
func exampleValues(issuer, message string, now time.Time) map[string]string {
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	values := proofExample(issuer, message)
	switch message {
	case outbox.MessageWelcome:
		values["link"] = issuer + "/account"
	case outbox.MessageRecoveryStart, outbox.MessageRecoveryReady, outbox.MessagePasskeyLost, outbox.MessagePasskeyReady:
		values["link"], values["time"], values["ip"] = issuer+"/recover/start?token=example", at(-time.Hour), "192.0.2.1"
	case outbox.MessageRecoveryWaiting, outbox.MessagePasskeyWaiting:
		values["link"], values["time"], values["ip"] = issuer+"/recover/stop?token=example", at(-time.Hour), "192.0.2.1"
		values["ready"] = at(24 * time.Hour)
	case outbox.MessagePasswordExpires:
		values["link"], values["expires"] = issuer+"/account/security", at(7*24*time.Hour)
	case outbox.MessageImpersonated:
		values["link"], values["time"] = issuer+"/account/security/sign-ins", at(0)
		values["ends"], values["reason"] = at(time.Hour), "Ticket 4711"
	case outbox.MessageSecretRotated:
		values["client"], values["by"], values["time"] = "Example App", "grace@example.com", at(0)
	case outbox.MessageSecretExpires, outbox.MessageSecretExpired:
		values["client"], values["expires"] = "Example App", at(7*24*time.Hour)
	case outbox.MessageAlertReplay:
		values["client"], values["time"] = "Example App", at(0)
	case outbox.MessageAlertLockouts, outbox.MessageAlertDeliveries:
		values["count"], values["time"] = "12", at(0)
	case outbox.MessageAlertAdministrator:
		values["username"], values["by"], values["time"] = "ada@example.com", "grace@example.com", at(0)
	case outbox.MessageDeletionRequested, outbox.MessageDeletionSoon:
		values["link"], values["until"], values["ip"] = issuer+"/login", at(14*24*time.Hour), "192.0.2.1"
	case outbox.MessageAccountDeleted:
	default:
		if len(values) == 0 {
			noticeExample(values, issuer, message, at)
		}
	}
	return values
}

// proofExample returns what a message with a link or a code for its reader mentions, or nothing.
func proofExample(issuer, message string) map[string]string {
	values := map[string]string{}
	proof := func(page, minutes string) {
		values["link"], values["minutes"], values["ip"] = issuer+page+"?token=example", minutes, "192.0.2.1"
	}
	switch message {
	case outbox.MessagePasswordReset:
		proof("/reset-password", "60")
	case outbox.MessageSignInLink:
		proof("/login/email", "10")
	case outbox.MessageSignInCode:
		values["code"], values["minutes"], values["ip"] = "12345678", "10", "192.0.2.1"
	case outbox.MessageVerification, outbox.MessageEmailConfirm:
		proof("/verify-email", "1440")
		values["code"] = "BCDF-GHJK"
	case outbox.MessageInvitation:
		values["link"], values["minutes"] = issuer+"/invitation?token=example", "10080"
	case outbox.MessageAddressInUse:
		values["link"], values["link2"], values["ip"] = issuer+"/login", issuer+"/forgot-password", "192.0.2.1"
	}
	return values
}

// noticeExample adds what a notice mentions: when and where something happened to an account.
func noticeExample(values map[string]string, issuer, message string, at func(time.Duration) string) {
	maps.Copy(values, map[string]string{
		"time": at(0), "ip": "192.0.2.1", "program": "Firefox", "system": "Linux",
		"city": "Cologne", "country": "Germany", "link": issuer + "/account/security",
	})
	switch {
	case message == outbox.MessageUsernameChanged:
		values["username"] = "ada"
	case strings.HasPrefix(message, "email-"):
		values["email"] = "ada@example.org"
	case message == outbox.MessagePasskeyAdded, message == outbox.MessagePasskeyRemoved,
		message == outbox.MessagePasskeyReplaced:
		values["passkey"] = "Ada’s phone"
	}
}
