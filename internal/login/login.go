// Package login authenticates people. A sign-in is a sequence of steps; each proves one thing. What
// has been proved so far is sealed into the browser, so that sign-ins which are begun and never
// finished leave nothing in the database.
//
// Errors carry a fault kind: Invalid for input that cannot be tried, Denied for a wrong answer (the
// same step may be tried again), Limited while locked, Consumed when the sign-in must start again,
// Unavailable under overload.
package login

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// Config is what the operator decides about signing in.
type Config struct {
	Methods      []string        // the kinds of factors that may begin a sign-in; nil is the password
	AppName      string          // the name shown in authenticator apps
	Host         string          // of this server; no password may consist of it
	Policy       identity.Policy // for new passwords
	AdminPolicy  identity.Policy // the same, for administrators
	Breached     Breached        // nil: there is no list
	HistoryCount int             // how many former passwords may not be used again
	ExpiryDays   int             // after how many days a password must be changed; 0 is never
	// The same for administrators, where that is sooner; 0 sets no other time.
	AdminExpiryDays int
	ExpiryWarning   time.Duration // before a password ends, in which its owner is told
	ExpiryGrace     time.Duration // after its end, in which the change may be put off

	SessionTTL       time.Duration // absolute
	Idle             time.Duration // between two requests, unless the person stays signed in
	TrustFor         time.Duration // how long a browser may skip the second step; 0 is never
	BrowserAccounts  int           // accounts that one browser may be signed in to at once
	RememberAccounts bool          // browsers offer accounts after people have signed out
	StaySignedIn     bool          // people may choose to stay signed in
	SingleSession    bool          // a new session ends the user's others
	RevokeTokens     bool          // the end of a session ends the tokens issued in it

	LockThreshold int           // failures that lock an account; 0 never locks
	LockDuration  time.Duration // of the first lock
	AutoUnlock    bool          // a lock ends by itself; else an administrator ends it
	// The locks in a row last half of LockDuration, then all of it, twice and four times as long.
	Progressive   bool
	LockByIP      bool // addresses are locked too
	IPThreshold   int  // failures that lock an address
	LockWhitelist []netip.Prefix

	// OnCheck gets the kind of each factor whose answer was checked, and the error of that. It is
	// called by several goroutines; nil: nobody wants to know.
	OnCheck func(kind string, err error)
	// Admit counts a request of a stranger among those of everybody, and returns Limited beyond
	// what is accepted in all; nil: there is no such bound.
	Admit func(context.Context, Visit, Request) error
	// Administers reports whether an account may manage the server; nil: none may.
	Administers func(*identity.User) bool

	NotifyNew bool           // people get a notice of a sign-in from a new browser
	Places    visitor.Places // finds places of addresses; or nil
	Locale    string         // of messages to people without a language

	Mail        bool          // messages can be sent
	BaseURL     string        // of links in messages, without a slash at the end
	ResetTTL    time.Duration // of a link to set a new password
	ResetLimit  int           // such links that one mailbox is sent in ResetWindow
	ResetWindow time.Duration

	Passkeys         RelyingParty  // nil: this server cannot use passkeys
	PasskeysVerified bool          // a passkey must verify the person, as a second step too
	RecoveryDelay    time.Duration // how long a request to remove a lost second factor waits; 0 is none
	SignUp           bool          // new people may make an account of their own
	SignUpDomains    []string      // only with addresses at these domains, with A-labels; none is any
	RequireVerified  bool          // who must verify the email address does so to sign in
	VerifyTTL        time.Duration // of a link that proves an address
	ShowExistence    bool          // pages may say whether an address has an account

	ImpersonationTTL    time.Duration // of sessions in which somebody acts as another person
	NotifyImpersonation bool          // people get a notice when somebody acts as them
	// MayImpersonate decides whether somebody may act as another person; nil: nobody may.
	MayImpersonate func(*Impersonation) audit.Guard

	RequireMFA      bool // everybody needs two-step verification
	RequireAdminMFA bool // administrators do
	MFAGrace        time.Duration
	MFARoles        map[string]time.Duration // roles whose bearers do, with their own grace
}

// Visit is one request of a person: from where, and when.
type Visit struct {
	IP, Agent, RequestID string
	Now                  time.Time // read once per request
	Locale               string    // of the page, in BCP 47, or ""
	Device               string    // the browser's device cookie, or ""
	Client               string    // the app that a sign-in was started for, or ""
	Actor                string    // who acts in a person's place (an administrator's id, "cli"), or ""
	ActorType            string    // the kind of Actor, or "" where it follows from the event

	Guard audit.Guard // decides in the transaction of each change whether it may be made; or nil
}

// A Request is what somebody who has proved nothing asks for, and what leads to a message.
type Request struct {
	Kind    string // RequestSignUp or another constant
	Browser string // names a browser in which somebody has signed in before; else ""
}

// The kinds of requests that are counted in all.
const (
	RequestSignUp = "sign_up"
	RequestReset  = "password_reset"
	RequestCode   = "sign_in_code"
)

// admit counts a request of a stranger, before anything depends on what is asked for: the answer is
// the same whether the address is known. A browser in which somebody has signed in is named, so
// that what strangers do elsewhere does not keep its owner out.
func (s *Server) admit(ctx context.Context, v Visit, kind string) error {
	if s.cfg.Admit == nil {
		return nil
	}
	r := Request{Kind: kind}
	if known := s.knownAccounts(v); len(known) > 0 {
		r.Browser = known[0].Device
	}
	return s.cfg.Admit(ctx, v, r)
}

// The steps of a sign-in after the first.
const (
	StepFactor      = "factor"       // the input of the second factor in Pending.Kind
	StepNewPassword = "new_password" // the parameter `new_password`
	StepVerifyEmail = "verify_email" // `code` or `token` of the message to the person's address
	StepEnroll      = "enroll"       // the inputs that confirm a factor; `factor` names its kind
	StepSkip        = "skip"         // answers StepEnroll within the days of grace
	// The parameters of the first passkey, to Join.
	StepFirstPasskey = "first_passkey"
	StepDeletion     = "deletion" // keeps an account that is to be deleted; no parameter
)

// Step is what a sign-in needs next, or its end. Exactly one of Next and Done is set.
type Step struct {
	// StepFactor, StepVerifyEmail, StepNewPassword, StepEnroll or StepDeletion
	Next    string
	Kind    string        // at StepFactor: the kind of factor asked for
	Pending string        // what the browser stores and brings back, for ten minutes
	Reason  string        // at StepNewPassword: ReasonExpired or another constant
	Grace   time.Duration // how long the step may still be skipped; 0 is not at all
	Done    *Done
}

// Done is a completed sign-in.
type Done struct {
	Cookie  string // the browser's new secret; the old one is worthless from now on; "" with Tokens
	Device  string // the browser's new device cookie
	Session *identity.Session
	User    *identity.User
	Backup  []string   // after StepEnroll: new backup codes, shown only this once
	Tokens  *TokenPair // of a sign-in by Attempt.Client; else nil
}

// Attempt is the first step of a sign-in.
type Attempt struct {
	Username string // or email address; "" where the factor finds out whose input it is
	Password string
	NeedACR  string   // the context class that the application requests, or ""
	Cookie   string   // the browser's present session cookie, or ""
	Others   []string // the cookies of the browser's other sessions
	Stay     bool     // the person chose to stay signed in
	Client   string   // of the accounts API, which gets tokens instead of a cookie; "" for a browser

	Kind  string     // the factor that begins the sign-in; "" is the password
	Token string     // Opening.Token, if Open was called
	Input url.Values // the factor's input; nil for the password
}

// Server signs people in. It is safe for concurrent use.
type Server struct {
	cfg     Config
	store   Store
	keys    *secret.Keys
	pw      hasher
	pending *secret.Box
	factors []Factor
	methods []string // the kinds that may begin a sign-in
	lanes   lanes
	notices notices
	tokens  sessionTokens
	links   recoveryLinks

	refreshing singleflight.Group // by the hash of the refresh token

	accountFailures *audit.FailureCounter // of accounts
	unknownFailures *audit.FailureCounter // of names that nobody has, by address
	linkFailures    *audit.FailureCounter // of links to set a password, by address
}

// hasher is what this package needs of secret.Passwords.
type hasher interface {
	Hash(ctx context.Context, password string) (string, error)
	Verify(ctx context.Context, password, stored string) (bool, error)
	Outdated(stored string) bool
}

// New returns a Server that uses a store.
func New(cfg Config, st Store, keys *secret.Keys, pw *secret.Passwords) *Server {
	return build(cfg, st, keys, pw)
}

func build(cfg Config, st Store, keys *secret.Keys, pw hasher) *Server {
	methods := cfg.Methods
	if len(methods) == 0 {
		methods = []string{kindPassword}
	}
	n := notices{
		on:      cfg.Mail,
		sealer:  outbox.NewSealer(keys),
		baseURL: cfg.BaseURL,
		places:  cfg.Places,
		locale:  cfg.Locale,
	}
	return &Server{
		cfg:     cfg,
		store:   st,
		keys:    keys,
		pw:      pw,
		pending: keys.Box("login"),
		factors: newFactors(cfg, st, keys, pw, n),
		methods: methods,
		lanes:   newLanes(),
		tokens:  newSessionTokens(keys),
		links:   newRecoveryLinks(keys),
		notices: n,

		accountFailures: audit.NewFailureCounter(),
		unknownFailures: audit.NewFailureCounter(),
		linkFailures:    audit.NewFailureCounter(),
	}
}

// signIn is a sign-in that has begun.
type signIn struct {
	user      *identity.User
	step      string // what it waits for
	kind      string // at StepFactor: the factor asked for
	state     []byte // at StepFactor: what the factor's Begin returned
	amr       []string
	factors   []identity.CredentialID // the confirmed ones when the first step was proved
	needACR   string                  // the context class requested, or ""
	cookie    secret.Hash             // of the session cookie that the browser came with, or ""
	raise     bool                    // a signed-in person proves more; nothing else is asked for
	skipped   bool                    // enrollment was put off
	postponed bool                    // the change of an expired password was put off
	leaked    bool                    // the password that was proved is known from a breach
	stay      bool                    // the person stays signed in
	trust     bool                    // the person trusts the browser from now on

	client string // that gets tokens instead of a cookie, or ""

	backup  []string // not sealed: new backup codes
	choices []string // not sealed: at StepFactor, the kinds that are accepted
	trusted string   // not sealed: the trusted browser in which the second step was skipped, or ""
	noTrust bool     // not sealed: no browser takes part, so none is trusted
}

func (si *signIn) add(amr ...string) {
	for _, m := range amr {
		if !slices.Contains(si.amr, m) {
			si.amr = append(si.amr, m)
		}
	}
}

// proved returns the state of the account that the sign-in was proved against.
func (si *signIn) proved() *identity.AccountState {
	return &identity.AccountState{PasswordChangedAt: si.user.PasswordChangedAt, Factors: si.factors}
}

func (si *signIn) accepts(kind string) bool { return slices.Contains(si.choices, kind) }
