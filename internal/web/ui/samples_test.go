package ui

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/text"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// samples returns full views of every page, in the order in which people see them. All names and
// addresses are reserved for examples (RFC 2606, RFC 5737).
func samples() []View { return samplesIn("en") }

// samplesIn returns the samples in a language.
func samplesIn(language string) []View {
	now := time.Date(2026, time.November, 21, 14, 5, 0, 0, time.UTC)
	c, err := text.Load()
	if err != nil {
		panic(err)
	}
	b := Base{texts: c.For(language), RequestID: "0198c1de-77f4-7c3a-9a41-2b1f6f0d4e11", Now: now}
	signed := b
	signed.Signed = samplePerson()
	return slices.Concat(loginSamples(b), joiningSamples(b), accountSamples(b), samplePasskeys(signed),
		sampleImpersonations(b))
}

func sampleImpersonations(b Base) []View {
	acting := b
	acting.Signed = samplePerson()
	acting.Acting = &ActingNotice{Person: "Ada Lovelace", Actor: "Grace Hopper", Until: b.Now.Add(time.Hour)}
	return []View{
		&ImpersonateView{
			Base: b, Form: tokenForm("/impersonate", "gth_su_example"), Person: "Ada Lovelace",
			Login: "ada@example.com", Reason: "Ticket 4711", Until: b.Now.Add(time.Hour),
		},
		&ImpersonateView{Base: b, Form: Form{Action: "/impersonate/end"}, Over: true},
		&AccountView{Base: acting, Email: "ada@example.com"},
		&ErrorView{
			Base: acting, Heading: "Not allowed", Text: "This cannot be done while you act as another person.",
			NextURL: "/account", NextText: "Go to the account",
		},
	}
}

func sampleClient() *ClientView {
	return &ClientView{
		Name: "Acme Notes", Home: "https://notes.example.com/", Terms: "https://notes.example.com/terms",
		Policy: "https://notes.example.com/privacy", RedirectHost: "notes.example.com",
		Contacts: []string{"help@notes.example.com"},
	}
}

func samplePerson() *Signed {
	return &Signed{Label: "Ada Lovelace", Email: "ada@example.com"}
}

func sampleScopes() []ScopeView {
	return []ScopeView{
		{Name: "openid", Words: "confirm your identity"},
		{Name: "profile", Words: "view your name and photo"},
		{Name: "email", Words: "view your email address"},
		{Name: "notes:write", Words: "read and change your notes", Badge: "New"},
		{Name: "offline_access", Words: "keep access when you're not using it"},
	}
}

func samplePasskey() *PasskeyView {
	return &PasskeyView{Options: `{"challenge":"AAAA","rpId":"example.com"}`, Token: strings.Repeat("s", 200)}
}

func samplePasskeys(b Base) []View {
	form := Form{Action: "/account/security/passkeys/remove", Hidden: []Pair{{"id", "p1"}}}
	return []View{
		&AccountPasskeysView{Base: b, HasPassword: true, Fresh: true},
		&AccountPasskeysView{Base: b, HasPassword: true, Accepted: `{"rpId":"x"}`, Passkeys: []PasskeyLine{
			{ID: "p1", Name: "Apple Passwords", CreatedAt: b.Now.Add(-40 * day), LastUsedAt: b.Now.Add(-time.Hour), Synced: true},
			{ID: "p2", Name: "Chrome on Linux", CreatedAt: b.Now.Add(-3 * day), Second: true},
		}},
		&AccountPasskeyRenameView{Base: b, Form: form, Name: "Apple Passwords"},
		&AccountPasskeyRemoveView{Base: b, Form: form, Name: "Apple Passwords", HasPassword: true, TwoStep: true},
		&AccountPasskeyRemoveView{Base: b, Form: form, Name: "Apple Passwords"},
	}
}

func sampleRules() []identity.Rule {
	return identity.Policy{MinLength: 12, Upper: true, Lower: true, Number: true, Common: true}.Rules()
}

func loginSamples(b Base) []View {
	client, signed := b, b
	client.Client = sampleClient()
	signed.Client, signed.Signed = sampleClient(), samplePerson()
	unverified := signed
	unverified.Client = &ClientView{Name: "Editor", RedirectHost: "editor.example", Unverified: true}
	failed := client
	failed.Problem = "That name and password do not match."
	mismatch := b
	mismatch.Errors = []FieldError{{Field: "confirm_password", Message: "The two passwords are not the same."}}
	form := Form{Flow: "flow-1", Next: "/account", Hidden: []Pair{{Name: "state", Value: "af0ifjsldkj"}}}
	const account = "ada@example.com"
	return []View{
		&SetupView{Base: b, Token: "gth_su_example", Email: account, Rules: sampleRules()},
		&ForgotView{Base: b, Form: form, Email: account},
		&ForgotView{Base: b, Closed: true},
		&EmailView{Base: client, Form: form, Email: account},
		&EmailCodeView{Base: client, Form: form, Email: account, HasCode: true, HasLink: true, CanStay: true, Mailbox: true, OtherURL: "/login/email?other=1"},
		&EmailCodeView{Base: b, Form: form, Email: account, HasCode: true},
		&EmailCodeView{Base: b, Form: form, Email: account, HasLink: true},
		&EmailLinkView{Base: client, Form: form, Account: account, CanStay: true},
		&EmailLinkView{Base: b, Account: account, Code: "48213907"},
		&ForgotSentView{Base: b, Form: form, Email: account, Mailbox: true},
		&RecoverView{
			Base: client, Form: form, Account: account, Possible: true, Mailbox: "a…@example.com", Wait: day, CodeURL: "/login/code",
			Others: []FactorChoice{{Kind: "backup_code"}},
		},
		&RecoverView{Base: b, Account: account, Possible: true, Mailbox: "a…@example.com", Sent: true, CodeURL: "/login/code", DevMail: true},
		&RecoverView{Base: b, Account: account, Possible: true, ReadyAt: b.Now.Add(20 * time.Hour), CodeURL: "/login/code"},
		&RecoverView{Base: b, Account: account, Possible: true, Mailbox: "a…@example.com", ReadyAt: b.Now, Ready: true, DevMail: true},
		&RecoverView{Base: b, Account: account, CodeURL: "/login/code"},
		&RecoverLinkView{Base: b, Stage: "start", Account: account, Wait: day},
		&RecoverLinkView{Base: b, Stage: "finish", Account: account},
		&RecoverLinkView{Base: b, Stage: "stop", Account: account},
		&RecoverDoneView{Base: b, Stage: "start", ReadyAt: b.Now.Add(day), NextURL: "/login"},
		&RecoverDoneView{Base: b, Stage: "finish", NextURL: "/login?done=recovered"},
		&RecoverDoneView{Base: b, Stage: "stop", NextURL: "/account/security"},
		&MailboxView{Base: b, Letters: []LetterLine{{
			URL: "/dev/mail/1", Subject: "Reset your password", To: account, At: b.Now.Add(-time.Minute),
		}}},
		&MailboxView{Base: b},
		&LetterView{
			Base: b, Subject: "Reset your password", To: account, At: b.Now, HTMLURL: "/dev/mail/1/html",
			Parts: []LetterPart{{Text: "Choose a new password:\n\n"}, {Text: "https://id.example.com/x", Link: true}},
		},
		&LoginView{Password: true, Base: client, Form: form, Passkey: samplePasskey(), CanStay: true, Stay: true},
		&LoginView{Base: client, Form: form, Passkey: samplePasskey()},
		&LoginView{Password: true, Base: failed, Passkey: samplePasskey(), Forget: `{"rpId":"x"}`, Form: form, Username: account},
		&LoginView{Password: true, Base: client, Form: form, Username: account, Wait: 12 * time.Minute},
		&CodeView{Base: client, Form: form, Account: account, Kind: "totp", StartURL: "/login", RecoverURL: "/recover", TrustFor: 30 * day, Trust: true, Others: []FactorChoice{{Kind: "backup_code"}}},
		&CodeView{Base: client, Form: form, Account: account, Kind: "backup_code", Wait: time.Minute, Others: []FactorChoice{{Kind: "totp"}}},
		&CodeView{Base: client, Form: form, Account: account, Kind: "totp"},
		sampleEnroll(b, form, account),
		&BackupCodesView{Base: b, Account: account, DoneURL: "/account", Codes: []string{
			"7KQ4-M2XW", "H9TD-3RVB", "P6YN-8CJF", "2WGS-X5ZK", "B4LM-T7QH",
			"V8RC-9DNP", "J3FX-6YWT", "Z5HK-4GSM", "N7BQ-2PLV", "C6TJ-8XRD",
		}},
		&BackupCodesView{Base: b, DoneURL: "/account/security"},
		&NewPasswordView{
			Base: mismatch, Form: form, Account: account, Rules: sampleRules(),
			Reason: "Your password has expired. Choose one that you use nowhere else.",
		},
		&NewPasswordView{
			Base: b, Form: form, Account: account, Rules: sampleRules(), SkipUntil: b.Now.Add(3 * 24 * time.Hour),
			Reason: "Your password has expired. Choose a new one.",
		},
		&ChooserView{Base: client, Form: form, Accounts: []AccountChoice{
			{ID: "a1", Label: "Ada Lovelace", Login: account, SignedIn: true, Current: true},
			{ID: "a2", Label: "grace@example.com", SignedIn: true},
			{ID: "a3", Label: "Alan Turing", Login: "alan@example.com"},
		}},
		&ConsentView{Base: signed, Form: form, Scopes: sampleScopes(), SwitchURL: "/login?prompt=login"},
		&ConsentView{Base: unverified, Form: form, Scopes: sampleScopes()},
		&NotMeView{
			Base: b, Form: Form{Action: "/login/not-me", Hidden: []Pair{{"token", "x"}}}, Account: account, Device: "Chrome on Windows",
			IP: "192.0.2.17", Place: samplePlace(), At: b.Now.Add(-time.Hour),
		},
		&NotMeView{Base: b, Account: account, Done: true, Mailed: true, Mailbox: true},
		&NotMeView{Base: b, Account: account, Done: true},
		&DeletionView{Base: client, Form: form, Account: account, Due: b.Now.Add(9 * day)},
		&DeletionRequestedView{Base: b, Due: b.Now.Add(14 * day)},
		&ActivateView{Base: b, UserCode: "WDJB-MJHT", PhoneURL: "https://id.example.com/activate?user_code=WDJB-MJHT"},
		sampleDevice(signed),
		&ActivateDoneView{Base: client, Approved: true},
		&ActivateDoneView{Base: client},
		&LogoutView{Base: signed, Form: Form{Action: "/logout/confirm", Flow: "flow-1"}, Several: true, Remembered: true},
		&LoggedOutView{Base: client, Others: true},
		&FormPostView{
			Base: client, Action: "https://notes.example.com/callback",
			Params: []Pair{{"code", "gth_ac_example"}, {"state", "af0ifjsldkj"}, {"iss", "https://id.example.com"}},
		},
		&ErrorView{
			Base: client, Heading: "This link has been used",
			Text:    "A sign-in link works once. Go back to the app and start again.",
			NextURL: "/account", NextText: "Go to your account",
		},
	}
}

func sampleEnroll(b Base, form Form, account string) View {
	return &EnrollView{
		Base: b, Form: form, Account: account, Kind: "totp", Secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP",
		URL:      "otpauth://totp/Gatehouse:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Gatehouse",
		Required: true, CanSkip: true, SkipUntil: b.Now.Add(7 * day), CancelURL: "/account/security",
	}
}

func sampleDevice(b Base) View {
	c := *b.Client
	c.Name = "Acme TV"
	b.Client = &c
	return &ActivateConfirmView{
		Base: b, UserCode: "WDJB-MJHT", Scopes: sampleScopes()[:2], IP: "203.0.113.24",
		Agent: "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 Chrome/94.0 Safari/537.36", RequestedAt: b.Now.Add(-2 * time.Minute),
	}
}

const (
	sampleWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	sampleIPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)

func accountSamples(b Base) []View {
	b.Signed = samplePerson()
	saved, wrong := b, b
	saved.Notice = "Your profile is saved."
	wrong.Errors = []FieldError{
		{Field: "current_password", Message: "That is not your current password."},
		{Field: "totp_disable_password", Message: "That is not your password."},
		{Field: "backup_password", Message: "That is not your password."},
	}
	since := b.Now.Add(-40 * day)
	rejected := b
	rejected.MailRejected = &MailRejectedView{Address: "ada@example.com", Answer: "550 5.1.1 no such mailbox", At: since}
	return []View{
		&AccountView{Offer: true, Administers: true, Base: b, Email: "ada@example.com", EmailVerified: true, PasswordChangedAt: since, Sessions: 2, Grants: 3, Consents: 2},
		&AccountProfileView{
			Base: saved, Email: "ada@example.com", EmailVerified: true, Username: "ada", Name: "Ada Lovelace", GivenName: "Ada",
			FamilyName: "Lovelace", MiddleName: "King", Nickname: "Ada", Birthdate: "1815-12-10", Gender: "female",
			Profile: "https://example.com/ada", Website: "https://ada.example", Locale: "en-GB", Zoneinfo: "Europe/London", Phone: "+44 20 7946 0000",
			StreetAddress: "12 St James's Square", Locality: "London", PostalCode: "SW1Y 4JH", Country: "United Kingdom",
		},
		&AccountSecurityView{
			Base: b, LoginName: "ada@example.com", PasswordOn: true, HasPassword: true, PasswordChangedAt: since, Rules: sampleRules(),
			PasskeysOn: true, Passkeys: 2, AskChoice: true,
			Factors: []FactorView{{Base: &b, Kind: "totp", HasPassword: true}},
		},
		&AccountSecurityView{
			Base: wrong, LoginName: "ada@example.com", PasswordOn: true, HasPassword: true, PasswordChangedAt: since, Rules: sampleRules(),
			SecondFactor: true, BackupCodesLeft: 2, Factors: []FactorView{{
				Base: &wrong, Kind: "totp", Enabled: true, Only: true, HasPassword: true, Since: since, LastUsedAt: b.Now.Add(-3 * time.Hour),
			}},
		},
		&AccountSecurityView{Base: b, SecondFactor: true, BackupCodesLeft: 10, Trusted: []TrustedView{{ID: "t1", Agent: sampleWindows, IP: "192.0.2.17", Current: true, LastUsedAt: b.Now, ExpiresAt: b.Now.Add(9 * day)}, {ID: "t2", Agent: sampleIPhone, LastUsedAt: since, ExpiresAt: b.Now.Add(day)}}, Factors: []FactorView{
			{Base: &b, Kind: "totp", Enabled: true, Only: true, Required: true, Since: since},
		}},
		&AccountView{Base: b, Email: "ada@example.com", Required: true, RequiredBy: b.Now.Add(3 * day)},
		&AccountView{Base: b, Email: "ada@example.com", SecondFactor: true, PasswordEnd: b.Now.Add(3 * day), PasswordMust: b.Now.Add(10 * day)},
		&AccountSecurityView{
			Base: b, LoginName: "ada", HasPassword: true, Rules: sampleRules(),
			PasswordEnd: b.Now.Add(-3 * day), PasswordMust: b.Now.Add(4 * day),
			PasskeysOn: true, Passkeys: 1, AskChoice: true, Asks: true,
		},
		&AccountSecurityView{
			Base: b, LoginName: "ada@example.com", PasswordOn: true, HasPassword: true, Rules: sampleRules(), Required: true,
			Factors: []FactorView{{Base: &b, Kind: "totp", HasPassword: true}},
		},
		sampleSessions(b),
		&AccountDataView{Base: rejected, LoginName: "ada@example.com", SecondFactor: true, GraceDays: 14, Due: b.Now.Add(14 * day)},
		&AccountDataView{Base: b, LoginName: "ada@example.com"},
		sampleSignIns(b),
		&AccountSignInsView{Base: b, NewerURL: "/account/security/sign-ins"},
		&AccountConfirmView{
			Base: b, Form: Form{Action: "/account/sessions/revoke", Hidden: []Pair{{"kind", "grant"}, {"id", "g1"}}},
			Heading: "Remove the access of Acme Notes?", Text: "The app is signed out of your account.", Button: "Remove access", CancelURL: "/account/sessions",
		},
		&AccountAuthorizationsView{Base: b, Consents: []ConsentEntry{
			{ClientID: "notes", Client: *sampleClient(), Scopes: sampleScopes()[:3], Since: since},
			{ClientID: "mail", Client: ClientView{Name: "Post Office"}, Scopes: sampleScopes()[2:3], Since: b.Now.Add(-2 * time.Hour)},
		}},
	}
}

func samplePlace() visitor.Place {
	return visitor.Place{Country: "DE", Countries: map[string]string{"en": "Germany"}, Cities: map[string]string{"en": "Cologne"}}
}

func sampleSignIns(b Base) View {
	return &AccountSignInsView{
		Base: b, HasPassword: true, OlderURL: "/account/security/sign-ins?before=1", SignIns: []SignInView{
			{At: b.Now.Add(-time.Hour), Methods: []string{"pwd", "otp", "mfa"}, Client: sampleClient(), Agent: sampleWindows, IP: "192.0.2.17", Place: samplePlace(), NewDevice: true, NewCountry: true},
			{At: b.Now.Add(-2 * time.Hour), Failed: true, Agent: sampleIPhone, IP: "203.0.113.5"},
			{At: b.Now.Add(-3 * time.Hour), Failed: true, Count: 1234},
			{At: b.Now.Add(-day), Methods: []string{"swk"}, StepUp: true},
			{At: b.Now.Add(-2 * day), Impersonated: true, Why: "Ticket 4711"},
		},
	}
}

func sampleSessions(b Base) View {
	return &AccountSessionsView{
		Base:         b,
		InactiveDays: 30,
		HasPassword:  true,
		Devices: []DeviceView{{Agent: sampleWindows, Sessions: []SessionView{
			{ID: "s1", Agent: sampleWindows, IP: "192.0.2.17", Current: true, Stay: true, SignedInAt: b.Now.Add(-5 * time.Hour), LastUsedAt: b.Now},
			{ID: "s3", Agent: sampleWindows, IP: "203.0.113.9", NewDevice: true, NewCountry: true, SignedInAt: b.Now.Add(-day), LastUsedAt: b.Now.Add(-day)},
		}}, {Agent: sampleIPhone, Sessions: []SessionView{
			{ID: "s4", Agent: sampleWindows, Acting: true, SignedInAt: b.Now.Add(-time.Hour), LastUsedAt: b.Now},
			{ID: "s2", Agent: sampleIPhone, IP: "2001:db8::7a", SignedInAt: b.Now.Add(-2 * day), LastUsedAt: b.Now.Add(-26 * time.Hour)},
		}}},
		Grants: []GrantView{
			{
				ID: "g1", Client: *sampleClient(), Agent: sampleIPhone, IP: "198.51.100.9", AuthorizedAt: b.Now.Add(-3 * day),
				LastUsedAt: b.Now.Add(-2 * time.Minute), Scopes: sampleScopes(),
			},
			{
				ID: "g2", Client: ClientView{Name: "Build tool"}, Agent: "curl/8.14.1", IP: "203.0.113.5", AuthorizedAt: b.Now.Add(-80 * day),
				LastUsedAt: b.Now.Add(-45 * day), Scopes: sampleScopes()[:1], Inactive: true,
			},
			{ID: "g3", Client: ClientView{Name: "Acme TV"}, AuthorizedAt: b.Now.Add(-day)},
		},
	}
}
