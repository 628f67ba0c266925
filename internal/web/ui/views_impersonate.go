package ui

import "time"

// PageImpersonate asks before an administrator acts as another person.
const PageImpersonate PageName = "impersonate"

// ImpersonateView is what a link to act as another person opens, and what a browser sees when such
// a session has ended. The form has the id `impersonate` and the hidden field `token`, and is
// posted to /impersonate; after the end it is posted to /impersonate/end.
type ImpersonateView struct {
	Base
	Form
	Over   bool   // a session has ended by itself
	Person string // whom the link is about
	Login  string // what the person types to sign in
	Reason string
	Until  time.Time // when the session would end
}

// Page names the template.
func (*ImpersonateView) Page() PageName { return PageImpersonate }
