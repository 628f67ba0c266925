package console

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// A change may need a newer proof of who the person is than their sign-in (RFC 9470). Then the form
// is stored in the browser, encrypted, and the person signs in again. Afterwards the page shows the
// form as it was filled in; the person sends it once more. It is never sent by itself.

const (
	confirmPath = Root + "/confirm"
	cookieDraft = "gatehouse_draft"
	draftTTL    = 15 * time.Minute
	maxDraft    = 3500     // bytes of the cookie
	maxOpened   = 64 << 10 // bytes of a form
)

// draft is a form that waits for a proof.
type draft struct {
	User identity.UserID `json:"u"`
	Page string          `json:"p"` // the path of the page that shows the form
	Form url.Values      `json:"f"`
	End  int64           `json:"e"` // Unix seconds
}

// secretFields are inputs that are never stored; the person enters them again.
var secretFields = []string{"password", "secret", "code"}

// neededProof returns what sign-in an operation needs, if its error is about that, or nil.
func neededProof(err error) *admin.AccessError {
	var e *admin.AccessError
	if fault.Reason(err) != admin.ReasonStepUp || !errors.As(err, &e) {
		return nil
	}
	return e
}

// prove asks the person to sign in again, and leads back to the page of the form.
func (s *Server) prove(w http.ResponseWriter, r *http.Request, q *request, need *admin.AccessError) error {
	page := formPage(r, q)
	next := page
	if r.Method == http.MethodPost {
		sealed, err := s.sealDraft(q, page)
		if err != nil {
			return err
		}
		if len(sealed) <= maxDraft {
			s.kit.SetCookie(w, cookieDraft, sealed, draftTTL)
			sep := "?"
			if strings.Contains(page, "?") {
				sep = "&"
			}
			next = page + sep + "draft=1"
		}
	}
	old := need.MaxAge > 0 && q.now.Sub(q.session.AuthTime) >= need.MaxAge
	return s.cfg.Browser.SignInFor(w, r, next, need.ACR, old)
}

// formPage returns the page that shows a form: what the form names, if that is of the console, or
// the address itself.
func formPage(r *http.Request, q *request) string {
	page := q.form.Get("page")
	switch {
	case page == Root, strings.HasPrefix(page, Root+"/"), strings.HasPrefix(page, Root+"?"):
		return page
	case r.Method == http.MethodGet && r.URL.Path != confirmPath:
		return r.URL.RequestURI()
	}
	return Root + q.section
}

// sealDraft returns the form of a request, compressed and encrypted, without its secrets.
func (s *Server) sealDraft(q *request, page string) (string, error) {
	path, _, _ := strings.Cut(page, "?")
	d := draft{User: q.user.ID, Page: path, Form: url.Values{}, End: q.now.Add(draftTTL).Unix()}
	for name, values := range q.form {
		d.Form[name] = values
	}
	for _, name := range secretFields {
		d.Form.Del(name)
	}
	plain, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := z.Write(plain); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return s.drafts.Seal(out.Bytes(), string(q.user.ID)), nil
}

// openDraft sets the stored form in a request for the page that shows it, and removes it from the
// browser. A form that is missing, old, or another person's is left out.
func (s *Server) openDraft(w http.ResponseWriter, r *http.Request, q *request) {
	cookie := s.kit.Cookie(r, cookieDraft)
	if cookie == "" {
		return
	}
	s.kit.ClearCookie(w, cookieDraft)
	packed, err := s.drafts.Open(cookie, string(q.user.ID))
	if err != nil {
		return
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxOpened))
	if err != nil {
		return
	}
	var d draft
	if json.Unmarshal(plain, &d) != nil || d.User != q.user.ID || d.Page != r.URL.Path ||
		q.now.Unix() > d.End {
		return
	}
	q.form, q.draft = d.Form, true
}

// showConfirm asks for a newer sign-in before a form is filled in, and leads back to its page.
func (s *Server) showConfirm(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.ops.StepUpNeeded(q.actor); err != nil {
		return err
	}
	return seeOther(w, r, formPage(r, q))
}
