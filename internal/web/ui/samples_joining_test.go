package ui

// joiningSamples returns full views of the pages of joining, and of the addresses of an account.
func joiningSamples(b Base) []View {
	client, signed, wrong := b, b, b
	client.Client = sampleClient()
	signed.Signed = samplePerson()
	wrong.Signed = samplePerson()
	wrong.Errors = []FieldError{{Field: "email", Message: "Enter an email address."}, {Field: "add_email", Message: "x"}}
	taken := b
	taken.Errors = []FieldError{{Field: "username", Message: "This username is taken. Choose another one."}}
	form := Form{Flow: "flow-1", Next: "/account"}
	link := tokenForm(pathVerify, "gth_su_example")
	const address = "ada@example.com"
	return []View{
		&SignUpView{Base: client, Form: form, Email: address, Name: "Ada", Username: "ada", Domains: "example.com, example.org", Rules: sampleRules()},
		&SignUpView{Base: b, Rules: sampleRules()},
		&SignUpView{Base: b, Closed: true},
		&ConfirmView{Base: client, Form: form, Email: address, Mailbox: true, OtherURL: "/signup"},
		&ConfirmView{Base: taken, Email: address, NameTaken: true, Username: "ada", OtherURL: "/signup"},
		&ConfirmView{Base: b, Form: Form{Action: pathStep}, Email: address, Linked: true, OtherURL: "/login?other=1"},
		&VerifyView{Base: b, Form: link, Email: address},
		&VerifyView{Base: b, Form: link, Email: address, SignIn: true, FreshURL: "/verify-email?new=1"},
		&VerifyView{Base: b, Form: link, Email: address, Password: true, FreshURL: "/verify-email?new=1"},
		&VerifyView{Base: b, Form: link, Email: address, Fresh: true, Profile: true, Name: "Ada", Username: "ada", Rules: sampleRules()},
		&VerifyView{Base: taken, Form: link, Email: address, NameTaken: true, Username: "ada"},
		&InvitationView{Base: b, Form: tokenForm(pathInvite, "gth_su_example"), Email: address, Name: "Ada", Username: "ada", Rules: sampleRules()},
		&InvitationView{Base: signed, Email: "new@example.com"},
		&UndoEmailView{Base: b, Form: tokenForm(pathUndo, "gth_su_example"), Email: address, Passkey: &PasskeyView{Options: "{}", Token: "x"}},
		&EmailsView{
			Base: signed, Email: address, CanMail: true, HasPassword: true, TwoStep: true, Mailbox: true,
			Others:  []OtherEmail{{Email: "ada@example.org", Key: "other0"}, {Email: "ada@example.net", Key: "other1"}},
			Waiting: []WaitingEmail{{Email: "new@example.com", Key: "waiting0", Change: true}, {Email: "more@example.com", Key: "waiting1"}},
		},
		&EmailsView{Base: wrong, Email: address, Verified: true, CanMail: true, NewEmail: "x", OldLost: true, HasPassword: true},
		&UsernameView{Base: signed, Username: "ada", HasPassword: true, TwoStep: true},
		&UsernameView{Base: signed},
	}
}
