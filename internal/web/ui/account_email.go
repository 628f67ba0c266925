package ui

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const pathEmails = "/account/email"

func (s *Server) showEmails(w http.ResponseWriter, r *http.Request, m *member) error {
	v, err := s.emailsView(r, m)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// emailsView returns the page of the addresses of an account.
func (s *Server) emailsView(r *http.Request, m *member) (*EmailsView, error) {
	all, err := s.account.Emails(r.Context(), m.caller)
	if err != nil {
		return nil, err
	}
	f, err := s.account.Factors(r.Context(), m.caller)
	if err != nil {
		return nil, err
	}
	v := &EmailsView{
		Base:        m.base(r),
		Email:       all.Primary,
		Verified:    all.Verified,
		CanMail:     s.login.CanMail(),
		HasPassword: m.caller.User.PasswordHash != "",
		TwoStep:     f.Enabled(),
		Mailbox:     s.mailbox != nil,
	}
	for i, e := range all.Others {
		v.Others = append(v.Others, OtherEmail{
			Email:    e.Email,
			Key:      "other" + strconv.Itoa(i),
			Rejected: slices.Contains(all.Rejected, identity.LoginKey(e.Email)),
		})
	}
	for i, e := range all.Waiting {
		v.Waiting = append(v.Waiting, WaitingEmail{Email: e.Email, Key: "waiting" + strconv.Itoa(i), Change: e.Change})
	}
	return v, nil
}

// emailsAgain shows the page of the addresses again with what was wrong. key names the form whose
// inputs are at fault; "" is the first one.
func (s *Server) emailsAgain(
	w http.ResponseWriter, r *http.Request, m *member, err error, key string,
) error {
	v, viewErr := s.emailsView(r, m)
	if viewErr != nil {
		return viewErr
	}
	if key == "" {
		v.NewEmail, v.OldLost = m.form.Get("email"), m.form.Get("old_lost") != ""
		return s.rerender(w, r, err, v)
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Field != "" {
		var inputs []error
		for _, input := range f.Inputs() {
			renamed := *input
			renamed.Field = key + "_" + input.Field
			inputs = append(inputs, &renamed)
		}
		err = fault.Join(inputs...)
	}
	return s.rerender(w, r, err, v)
}

// keyOf returns the key of the form of one of the addresses on the page, or "".
func (s *Server) keyOf(r *http.Request, m *member, email string) string {
	v, err := s.emailsView(r, m)
	if err != nil {
		return ""
	}
	for _, e := range v.Others {
		if e.Email == email {
			return e.Key
		}
	}
	for _, e := range v.Waiting {
		if e.Email == email {
			return e.Key
		}
	}
	return "own"
}

// allowed counts a request of a member against the rate of sign-ins.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, m *member) error {
	return s.kit.Allow(w, r, "login", web.Subject{User: string(m.caller.User.ID)})
}

// postEmails asks to make another address the primary one.
func (s *Server) postEmails(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allowed(w, r, m)
	if err == nil {
		err = s.account.ChangeEmail(r.Context(), m.caller, m.form)
	}
	if err != nil {
		return s.emailsAgain(w, r, m, err, "")
	}
	return seeOther(w, r, pathEmails+"?done=email_sent")
}

// postAddEmail asks to add an address.
func (s *Server) postAddEmail(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allowed(w, r, m)
	if err == nil {
		err = s.account.AddEmail(r.Context(), m.caller, m.form)
	}
	if err != nil {
		return s.emailsAgain(w, r, m, err, "add")
	}
	return seeOther(w, r, pathEmails+"?done=email_sent")
}

// postConfirmEmail proves an address by the code that was mailed to it.
func (s *Server) postConfirmEmail(w http.ResponseWriter, r *http.Request, m *member) error {
	email := m.form.Get("email")
	err := s.allowed(w, r, m)
	if err == nil {
		err = s.account.ConfirmEmail(r.Context(), m.caller, email, m.form.Get("code"))
	}
	if err != nil {
		return s.emailsAgain(w, r, m, err, s.keyOf(r, m, email))
	}
	return seeOther(w, r, pathEmails+"?done=confirmed")
}

// postSendEmail sends the message that proves the primary address.
func (s *Server) postSendEmail(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allowed(w, r, m)
	if err == nil {
		err = s.account.SendVerification(r.Context(), m.caller)
	}
	if err != nil {
		return s.emailsAgain(w, r, m, err, "own")
	}
	return seeOther(w, r, pathEmails+"?done=email_sent")
}

// postManageEmail makes one of the addresses the primary one, or removes it.
func (s *Server) postManageEmail(w http.ResponseWriter, r *http.Request, m *member) error {
	done, change := "email_primary", s.account.MakePrimary
	if m.form.Get("action") == "remove" {
		done, change = "email_removed", s.account.RemoveEmail
	}
	err := s.allowed(w, r, m)
	if err == nil {
		err = change(r.Context(), m.caller, m.form)
	}
	if err != nil {
		return s.emailsAgain(w, r, m, err, s.keyOf(r, m, m.form.Get("email")))
	}
	return seeOther(w, r, with(pathEmails, "done", done))
}

func (s *Server) showUsername(w http.ResponseWriter, r *http.Request, m *member) error {
	v, err := s.usernameView(r, m)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) usernameView(r *http.Request, m *member) (*UsernameView, error) {
	f, err := s.account.Factors(r.Context(), m.caller)
	return &UsernameView{
		Base:        m.base(r),
		Username:    m.caller.User.Username,
		HasPassword: m.caller.User.PasswordHash != "",
		TwoStep:     f.Enabled(),
	}, err
}

func (s *Server) postUsername(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allowed(w, r, m)
	if err == nil {
		err = s.account.ChangeUsername(r.Context(), m.caller, m.form)
	}
	if err == nil {
		return seeOther(w, r, "/account/profile?done=username")
	}
	v, viewErr := s.usernameView(r, m)
	if viewErr != nil {
		return viewErr
	}
	v.Username = m.form.Get("username")
	return s.rerender(w, r, err, v)
}

// maxProgram bounds the body of a request by a program.
const maxProgram = 4 << 10

// readProgram reads the members of a JSON object that a program sent, or the fields of a form.
func (s *Server) readProgram(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	in := map[string]string{}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		form, err := s.form(r)
		for name := range form {
			in[name] = form.Get(name)
		}
		return in, err
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxProgram)).Decode(&in)
	if err != nil {
		err = fault.Wrap(fault.Invalid, err, "The body must be a JSON object whose members are strings.")
	}
	return in, err
}

// programAnswer writes the answer to a program: success, or what was wrong.
func (s *Server) programAnswer(w http.ResponseWriter, r *http.Request, err error) error {
	answer, status := map[string]any{"success": true}, http.StatusOK
	if err != nil {
		web.EventOf(r.Context()).Err = err
		code := "invalid_token"
		switch fault.KindOf(err) {
		case fault.Invalid:
			code = "invalid_request"
		case fault.Denied:
			code = "access_denied"
		case fault.Limited:
			code = "rate_limited"
		case fault.Unavailable:
			code = "temporarily_unavailable"
		case fault.Internal:
			return err
		}
		status = web.Status(err)
		if fault.Is(err, fault.Consumed) {
			status = http.StatusBadRequest
		}
		answer = map[string]any{"error": code, "error_description": fault.Text(err)}
		web.RetryAfter(w.Header(), err)
	}
	body, jsonErr := json.Marshal(answer)
	if jsonErr != nil {
		return jsonErr
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// verifyEmailJSON proves an address for a program: members `token`, and `password`, the one of the
// account or of the sign-up. An account whose address an administrator has vouched for needs none.
func (s *Server) verifyEmailJSON(w http.ResponseWriter, r *http.Request) error {
	in, err := s.readProgram(w, r)
	if err == nil {
		err = s.kit.Allow(w, r, "login", web.Subject{})
	}
	if err == nil {
		err = s.login.VerifyByToken(r.Context(), s.visit(r), login.SignUpProof{
			Token:    in["token"],
			Cookie:   s.kit.Cookie(r, web.CookieSignUp),
			Password: in["password"],
			Username: in["username"],
		})
	}
	return s.programAnswer(w, r, err)
}

// resendEmailJSON sends the message that proves an address again, for a program: member `email`.
// The answer is the same whether there is anything to prove or not.
func (s *Server) resendEmailJSON(w http.ResponseWriter, r *http.Request) error {
	in, err := s.readProgram(w, r)
	if err == nil {
		err = s.kit.Allow(w, r, "register", web.Subject{})
	}
	if err == nil {
		err = s.login.RequestVerification(r.Context(), s.visit(r), in["email"])
	}
	return s.programAnswer(w, r, err)
}
