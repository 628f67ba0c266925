package ui

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/picture"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// PathPicture is where pictures are uploaded. Its requests may be larger than others.
const PathPicture = "/account/profile/picture"

// dataRoutes returns the pages of what an account knows and tells.
func (s *Server) dataRoutes() []route {
	return []route{
		{"GET " + login.PageDisown, s.mailedPage(s.showNotMe)},
		{"POST " + login.PageDisown, s.postNotMe},
		{"GET /login/deletion", s.atStep(login.StepDeletion, s.showDeletion)},
		{"POST /login/deletion", s.atStep(login.StepDeletion, s.postDeletion)},
		{"GET /account/data", s.member(s.showData)},
		{"POST /account/data/download", s.member(s.postDownload)},
		{"POST /account/data/delete", s.member(s.postDeleteAccount)},
		{"GET /account/security/sign-ins", s.member(s.showSignIns)},
		{"POST /account/profile/picture", s.uploader(s.postPicture)},
		{"POST /account/profile/picture/remove", s.member(s.postRemovePicture)},
	}
}

// showNotMe shows the sign-in that a notice is about. It changes nothing: programs that check mail
// open its links, too.
func (s *Server) showNotMe(r *http.Request, _ url.Values, token string) (View, error) {
	d, err := s.login.Disowned(r.Context(), s.visit(r), token)
	if err != nil {
		return nil, err
	}
	return s.notMeView(r, d, token), nil
}

func (s *Server) notMeView(r *http.Request, d *login.Disowned, token string) *NotMeView {
	v := &NotMeView{
		Base:    begin(r),
		Form:    Form{Action: login.PageDisown, Hidden: []Pair{{Name: "token", Value: token}}},
		Account: d.User.LoginName(),
		IP:      d.IP,
		Place:   s.account.Place(d.IP),
		At:      d.At,
		Mailbox: s.mailbox != nil,
	}
	v.setLanguage(d.User)
	v.Device = v.texts.Device(d.Program, d.System)
	return v
}

// postNotMe ends all access to the account and starts a password reset.
func (s *Server) postNotMe(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	token, _, err := s.mailedToken(w, r, form)
	if err != nil {
		return err
	}
	if err := s.kit.Allow(w, r, "login", web.Subject{}); err != nil {
		return err
	}
	v := s.visit(r)
	d, err := s.login.Disown(r.Context(), v, token, v.Locale)
	if err != nil {
		return err
	}
	s.kit.ClearCookie(w, web.CookieLink)
	s.kit.ClearCookie(w, web.CookieSession)
	view := s.notMeView(r, d, "")
	view.Form, view.Done, view.Mailed = Form{}, true, !d.Moved && s.login.CanMail()
	return s.show(w, http.StatusOK, view)
}

func (s *Server) showDeletion(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	v, err := s.deletionView(r, p)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) deletionView(r *http.Request, p *pendingSignIn) (*DeletionView, error) {
	d, err := s.login.Deletion(r.Context(), p.Pending)
	if err != nil {
		return nil, err
	}
	return &DeletionView{
		Base:    p.lc.base(r),
		Form:    p.lc.form(),
		Account: p.User.LoginName(),
		Due:     d.DueAt,
	}, nil
}

// postDeletion keeps the account.
func (s *Server) postDeletion(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	st, err := s.login.Continue(r.Context(), s.visit(r), p.sealed, login.StepDeletion, p.form)
	if err == nil {
		return s.followStep(w, r, p.lc, st)
	}
	v, viewErr := s.deletionView(r, p)
	if viewErr != nil {
		return viewErr
	}
	return s.rerender(w, r, err, v)
}

func (s *Server) dataView(r *http.Request, m *member) (*AccountDataView, error) {
	f, err := s.account.Factors(r.Context(), m.caller)
	if err != nil {
		return nil, err
	}
	due := s.account.DeletionDue(m.caller)
	b := m.base(r)
	b.Return = "/account/data"
	return &AccountDataView{
		Base:         b,
		LoginName:    m.caller.User.LoginName(),
		SecondFactor: f.Enabled(),
		GraceDays:    int(due.Sub(m.caller.Now) / (24 * time.Hour)),
		Due:          due,
	}, nil
}

func (s *Server) showData(w http.ResponseWriter, r *http.Request, m *member) error {
	v, err := s.dataView(r, m)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) rerenderData(w http.ResponseWriter, r *http.Request, m *member, err error, form string) error {
	v, viewErr := s.dataView(r, m)
	if viewErr != nil {
		return viewErr
	}
	return s.rerender(w, r, inForm(err, form), v)
}

// postDownload answers with a copy of the person's data, as a file.
func (s *Server) postDownload(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allow(w, r, m)
	if err == nil {
		err = s.kit.Allow(w, r, "export", web.Subject{User: string(m.caller.User.ID)})
	}
	var body []byte
	if err == nil {
		body, err = s.account.Export(r.Context(), m.caller, m.form)
	}
	if err != nil {
		return s.rerenderData(w, r, m, err, "download")
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="account-data.json"`)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
	return nil
}

// postDeleteAccount ends all access to the account, which is erased after the days of grace.
func (s *Server) postDeleteAccount(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allow(w, r, m)
	var due time.Time
	if err == nil {
		due, err = s.account.RequestDeletion(r.Context(), m.caller, m.form)
	}
	if err != nil {
		return s.rerenderData(w, r, m, err, "delete")
	}
	s.kit.ClearCookie(w, web.CookieSession)
	v := &DeletionRequestedView{Base: begin(r), Due: due}
	v.setLanguage(m.caller.User)
	v.Zone = m.base(r).Zone
	return s.show(w, http.StatusOK, v)
}

// showSignIns shows a page of the history of sign-ins.
func (s *Server) showSignIns(w http.ResponseWriter, r *http.Request, m *member) error {
	const page = "/account/security/sign-ins"
	before := m.form.Get("before")
	all, next, err := s.account.SignIns(r.Context(), m.caller, before)
	if err != nil {
		return err
	}
	v := &AccountSignInsView{Base: m.base(r), HasPassword: m.caller.User.PasswordHash != ""}
	if next != "" {
		v.OlderURL = with(page, "before", next)
	}
	if before != "" {
		v.NewerURL = page
	}
	for _, x := range all {
		v.SignIns = append(v.SignIns, s.signInView(r, x))
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) signInView(r *http.Request, x account.SignIn) SignInView {
	count, _ := strconv.Atoi(x.Times)
	v := SignInView{
		At:         x.At,
		Failed:     x.Failed,
		Count:      count,
		StepUp:     x.StepUp,
		Methods:    x.Methods,
		Agent:      x.Agent,
		IP:         x.IP,
		Place:      x.Place,
		NewDevice:  x.NewDevice,
		NewCountry: x.NewCountry,

		Impersonated: x.Impersonated,
		Why:          x.Why,
	}
	if x.Client != "" {
		app := s.namedClient(r, x.Client)
		v.Client = &app
	}
	return v
}

// uploader serves a form with a file. Its handler reads the body itself, after the person is known.
func (s *Server) uploader(h func(w http.ResponseWriter, r *http.Request, m *member) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		s.readLanguage(r, nil)
		sess, err := s.Session(r)
		if err != nil {
			return err
		}
		if sess == nil {
			return seeOther(w, r, with("/login", "next", "/account/profile"))
		}
		m := &member{}
		if m.caller, err = s.account.Caller(r.Context(), s.visit(r), sess); err != nil {
			return err
		}
		return h(w, r, m)
	}
}

func (s *Server) postPicture(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allow(w, r, m)
	var file []byte
	if err == nil {
		file, err = uploaded(r, "picture")
	}
	if err == nil {
		err = s.account.ChangePicture(r.Context(), m.caller, file)
	}
	if err != nil {
		b := m.base(r)
		b.Return = "/account/profile"
		return s.rerender(w, r, err, profileView(b, m.caller.User))
	}
	return seeOther(w, r, "/account/profile?done=picture")
}

func (s *Server) postRemovePicture(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.account.RemovePicture(r.Context(), m.caller); err != nil {
		return err
	}
	return seeOther(w, r, "/account/profile?done=picture_removed")
}

// maxParts bounds the parts of a form with a file.
const maxParts = 10

// uploaded returns the file that a form carries in a part, and at most one byte more than a picture
// may have. What follows is read and dropped, so that the browser shows the answer.
func uploaded(r *http.Request, name string) ([]byte, error) {
	form, err := r.MultipartReader()
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The form is incomplete. Open the page again.")
	}
	var file []byte
	for range maxParts {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return file, nil
		}
		if err != nil {
			return nil, uploadFault(err)
		}
		if part.FormName() == name && file == nil {
			if file, err = io.ReadAll(io.LimitReader(part, picture.MaxUpload+1)); err != nil {
				return nil, uploadFault(err)
			}
		}
		if err := drop(part); err != nil {
			return nil, uploadFault(err)
		}
	}
	return nil, fault.New(fault.Invalid, "The form has too many parts. Open the page again.")
}

func drop(part *multipart.Part) error {
	_, err := io.Copy(io.Discard, part)
	return err
}

func uploadFault(err error) error {
	if errors.As(err, new(*http.MaxBytesError)) {
		return picture.TooLarge()
	}
	return fault.Wrap(fault.Invalid, err, "The picture did not arrive completely. Try again.")
}

// picture serves the picture of a person to whoever knows its address: apps show it. It cannot be
// changed, only replaced by one at another address.
func (s *Server) picture(w http.ResponseWriter, r *http.Request) {
	p, err := s.account.Picture(r.Context(), r.PathValue("id"))
	if err != nil {
		w.Header().Set("Cache-Control", "no-store")
		s.kit.Fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", p.Kind)
	h.Set("Content-Length", strconv.Itoa(len(p.Data)))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(p.Data)
}

// mailRejected returns what the pages of an account say about mail that does not arrive, or nil.
func (s *Server) mailRejected(r *http.Request, c account.Caller) (*MailRejectedView, error) {
	f, err := s.account.MailFailure(r.Context(), c)
	if err != nil || f.At.IsZero() {
		return nil, err
	}
	return &MailRejectedView{Address: c.User.Email, Answer: f.Answer, At: f.At}, nil
}
