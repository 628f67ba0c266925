package login

import (
	"context"
	"net/url"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// A Factor is one way to prove who a person is. It takes values and returns values; it never sees a
// request. To add one, write its file, name it in the table below, and give it a template in
// internal/web/ui/templates/factor.
type Factor interface {
	// Kind returns the factor's name in stored credentials, in addresses of pages and in templates.
	Kind() string
	// AMR returns the authentication methods that a successful check proves (RFC 8176).
	AMR() []string
	// Use returns the steps at which the factor is accepted.
	Use() Use
	// Enrolled reports whether the person with these credentials has set the factor up.
	Enrolled(creds []identity.Credential) bool
	// Serial reports whether guesses are so cheap that they must be checked one after another for
	// each person.
	Serial() bool
	// Begin is called when a sign-in enters the factor's step, and again whenever its page is
	// shown. It may send a message or make a challenge, but only while f.State is nil; what it has
	// to remember goes into Challenge.State, which it gets back as f.State. u is nil in a first
	// step if the name is unknown or missing; the work must then look the same from outside.
	Begin(ctx context.Context, f Flow, u *identity.User) (Challenge, error)
	// CheckInput returns fault.Invalid, naming the input, if in cannot be an answer to this factor.
	// It looks at the form only, so that a slip of the keyboard does not count as a failure.
	CheckInput(in url.Values) error
	// Check tries the input. u is nil in a first step if the name is unknown or missing; the work
	// must be the same. A wrong answer is a Proof that is not OK; an error means that the answer
	// could not be checked.
	Check(ctx context.Context, f Flow, u *identity.User, in url.Values) (Proof, error)
}

// A countedApart is a Factor whose failures have a counter of their own: they neither lock the
// other ways to sign in nor are locked by failures there.
type countedApart interface {
	Factor
	// Counter returns what ends the name of the counter.
	Counter() string
}

// An Enroller is a Factor that a person sets up.
type Enroller interface {
	Factor
	// Enroll returns what a person needs to set the factor up. It may send a message or make a
	// secret, but repeats the former one while f.State is set. Conflict if the factor is set up.
	Enroll(ctx context.Context, f Flow, u *identity.User) (Enrollment, error)
	// Confirm proves that what Enroll returned works, and stores the credential with its audit
	// event. Conflict without an enrollment to confirm, or the factor is set up.
	Confirm(ctx context.Context, f Flow, u *identity.User, in url.Values) (Proof, error)
}

// Use is a set of steps at which a factor is accepted.
type Use uint8

// The steps.
const (
	UseFirst      Use = 1 << iota // begins a sign-in
	UseSecond                     // follows the first factor
	UseSubstitute                 // takes the place of any second factor that a person has
)

// Flow is what a factor learns about the sign-in or the enrollment that it takes part in.
type Flow struct {
	Visit
	First bool   // the factor begins the sign-in
	Alone bool   // nothing else was proved, so that the factor has to count as two
	State []byte // what Begin or Enroll returned earlier in this step, or nil
	Login string // in a first step: the login key of what was typed, or ""
}

// Challenge is what a factor asks a person. The zero Challenge asks for an input and no more.
type Challenge struct {
	State   []byte // sealed into the browser until the step is answered; at most maxState bytes
	SentTo  string // where a message was sent, shortened so that it gives nothing away, or ""
	Options string // JSON for the browser's credential API, or ""
}

// Enrollment is what a person needs to set a factor up.
type Enrollment struct {
	Kind    string
	URL     string // to scan as a QR code, such as otpauth://…, or ""
	Secret  string // the same to type, in groups, or ""
	SentTo  string // where a message was sent, or ""
	Options string // JSON for the browser's credential API, or ""
	State   []byte // sealed into Token; at most maxState bytes
	Token   string // carried by the page and handed back to ConfirmEnrollment
}

// Proof is the outcome of a check.
type Proof struct {
	OK     bool
	User   *identity.User // whom the input belongs to, where the factor finds that out; else nil
	AMR    []string       // methods proved beyond those that the factor always proves
	Reason string         // if not OK: a stable code for the audit log
	// Mailbox is the address that the person has proved to read, or "".
	Mailbox string
	Text    string // if not OK: a sentence for the person
}

// newFactors returns the table of factors, in the order in which a person is asked for them.
func newFactors(cfg Config, st Store, keys *secret.Keys, pw hasher, n notices) []Factor {
	all := []Factor{
		passwordFactor{pw: pw},
		totpFactor{store: st, box: keys.Box("totp"), notices: n, issuer: cfg.AppName},
	}
	if cfg.Passkeys != nil {
		all = append(all, newPasskeyFactor(cfg, st, keys, n))
	}
	return append(all,
		backupFactor{store: st, keys: keys},
		emailFactor{kind: kindEmailCode, store: st, keys: keys, notices: n},
		emailFactor{kind: kindMagicLink, store: st, keys: keys, notices: n},
	)
}

// use returns the steps at which the server accepts a factor: an operator chooses the ways to
// begin a sign-in. What people have set up as a second step stays one: it would be lost otherwise.
func (s *Server) use(f Factor) Use {
	if slices.Contains(s.methods, f.Kind()) {
		return f.Use()
	}
	return f.Use() &^ UseFirst
}

// Begins reports whether a sign-in may begin with the factor of a kind.
func (s *Server) Begins(kind string) bool { return s.factor(kind, UseFirst) != nil }

// PasswordAllowed reports whether people sign in with passwords. Where they do not, nobody sets or
// resets one.
func (s *Server) PasswordAllowed() bool { return s.Begins(kindPassword) }

// factor returns the factor of a kind that is accepted for one of the uses, or nil.
func (s *Server) factor(kind string, use Use) Factor {
	for _, f := range s.factors {
		if f.Kind() == kind && s.use(f)&use != 0 {
			return f
		}
	}
	return nil
}

// Kinds returns the kinds of factors that are accepted for one of the uses, in the order of the
// table.
func (s *Server) Kinds(use Use) []string {
	var kinds []string
	for _, f := range s.factors {
		if s.use(f)&use != 0 {
			kinds = append(kinds, f.Kind())
		}
	}
	return kinds
}

// EnrollableKinds returns the kinds of second factors that a person can set up.
func (s *Server) EnrollableKinds() []string {
	var kinds []string
	for _, f := range s.factors {
		if _, ok := f.(Enroller); ok && f.Use()&UseSecond != 0 {
			kinds = append(kinds, f.Kind())
		}
	}
	return kinds
}

// enrolledKinds returns the kinds of second factors of a user who has turned on two-step
// verification.
func (s *Server) enrolledKinds(ctx context.Context, id identity.UserID) ([]string, error) {
	creds, err := s.store.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	kinds := s.kindsOf(creds)
	if !s.twoStep(creds, kinds) {
		return nil, nil
	}
	return kinds, nil
}

// kindsOf returns the kinds of second factors that are set up by a user's credentials.
func (s *Server) kindsOf(creds []identity.Credential) []string {
	var kinds []string
	for _, f := range s.factors {
		if f.Use()&UseSecond != 0 && f.Enrolled(creds) {
			kinds = append(kinds, f.Kind())
		}
	}
	return kinds
}

// confirmedFactors returns the ids of the confirmed credentials; it is never nil.
func confirmedFactors(creds []identity.Credential) []identity.CredentialID {
	ids := []identity.CredentialID{}
	for _, c := range creds {
		if !c.ConfirmedAt.IsZero() {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// claimant returns the factor whose input this is: that of the kind asked for, or a substitute.
func (s *Server) claimant(kind string, in url.Values) (Factor, error) {
	current := s.factor(kind, UseSecond|UseSubstitute)
	if current == nil {
		return nil, errStale()
	}
	err := current.CheckInput(in)
	if err == nil {
		return current, nil
	}
	for _, f := range s.factors {
		if f.Use()&UseSubstitute != 0 && f.CheckInput(in) == nil {
			return f, nil
		}
	}
	return nil, err
}
