package login

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	maxGuesses  = 5       // at the code of one confirmation
	maxSignUps  = 50_000  // that wait for a confirmation
	maxRequests = 500_000 // other confirmations of one kind that wait

	// The alphabet of codes has no vowels, so that they form no words, and no characters that are
	// easily misread: 20^8 codes, 34 bits.
	codeAlphabet = "BCDFGHJKLMNPQRSTVWXZ"
	codeLength   = 8
)

// newCode returns a random code that a person can type.
func newCode() string {
	out := make([]byte, 0, codeLength)
	var b [16]byte
	for len(out) < codeLength {
		rand.Read(b[:])
		for _, v := range b {
			if v < 240 && len(out) < codeLength { // so that every code is equally likely
				out = append(out, codeAlphabet[int(v)%len(codeAlphabet)])
			}
		}
	}
	return string(out)
}

// formatCode returns a code as people read it: BCDF-GHJK.
func formatCode(code string) string { return code[:codeLength/2] + "-" + code[codeLength/2:] }

// typedCode returns what a person typed as a code, in upper case and without what they put between
// its characters.
func typedCode(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '\t', '.', '\u00A0', '\u2010', '\u2011', '\u2012', '\u2013', '\u2014':
			return -1
		}
		return r
	}, strings.ToUpper(s[:min(len(s), 64)]))
}

func (s *Server) codeHash(id, code string) secret.Hash {
	return s.keys.Hash("confirmation-code:" + id + ":" + code)
}

// errCode returns the answer to a wrong code, to one that has expired, and to one too many guesses:
// who guesses learns nothing, not even whether a message was sent.
func errCode() error {
	return &fault.Error{
		Kind:  fault.Denied,
		Field: "code",
		Text:  "This code is wrong or has expired. Check it, or ask for a new message.",
	}
}

// guess returns a confirmation whose code a person typed. Every call counts.
func (s *Server) guess(ctx context.Context, v Visit, id, code string) (*Confirmation, error) {
	code = typedCode(code)
	if code == "" {
		return nil, fault.InvalidField("code", "Enter the code from the message.")
	}
	c, err := s.store.GuessConfirmation(ctx, id, maxGuesses, v.Now)
	if fault.Is(err, fault.NotFound) {
		return nil, errCode()
	}
	if err != nil {
		return nil, err
	}
	if !secret.Equal(string(c.Code), string(s.codeHash(id, code))) {
		return nil, errCode()
	}
	return c, nil
}

// confirmationOf returns the confirmation of a mailed link without consuming it, or Consumed.
func (s *Server) confirmationOf(ctx context.Context, v Visit, token string) (*Confirmation, error) {
	if !secret.WellFormed(secret.PrefixLink, token) {
		return nil, errLink()
	}
	c, err := s.store.Confirmation(ctx, s.keys.Hash(token), v.Now)
	return c, linkError(err)
}

// proofSecrets are what a message carries to prove an address.
type proofSecrets struct{ token, code string }

// newConfirmation returns a confirmation, and what the message to its address carries.
func (s *Server) newConfirmation(v Visit, c Confirmation, ttl time.Duration) (*Confirmation, proofSecrets) {
	p := proofSecrets{token: newLinkToken(), code: newCode()}
	c.ID = secret.NewID(v.Now)
	c.Token, c.Code = s.keys.Hash(p.token), s.codeHash(c.ID, p.code)
	c.CreatedAt, c.ExpiresAt = v.Now, v.Now.Add(ttl)
	return &c, p
}

// proofValues returns what the message of a confirmation says.
func (s *Server) proofValues(c *Confirmation, p proofSecrets, page string) map[string]string {
	return map[string]string{
		"link":    s.cfg.BaseURL + page + "?token=" + p.token,
		"code":    formatCode(p.code),
		"minutes": strconv.Itoa(int(c.ExpiresAt.Sub(c.CreatedAt).Minutes())),
	}
}

// addressRequest is the content of an outbox.KindAddressRequest.
type addressRequest struct {
	ID        string `json:"id,omitempty"` // of the confirmation; "" asks for a message again
	Email     string `json:"email"`
	Token     string `json:"token,omitempty"`
	Code      string `json:"code,omitempty"`
	IP        string `json:"ip"`
	Agent     string `json:"agent"`
	RequestID string `json:"request_id"`
	Locale    string `json:"locale"`
}

// addressRequest returns the delivery of a request to prove an address. What it finds there decides
// which message is sent, long after the answer to the person who asked.
func (s *Server) addressRequest(v Visit, c *Confirmation, p proofSecrets) outbox.Delivery {
	content, err := json.Marshal(addressRequest{
		ID:        c.ID,
		Email:     c.Email,
		Token:     p.token,
		Code:      p.code,
		IP:        v.IP,
		Agent:     v.agent(),
		RequestID: v.RequestID,
		Locale:    v.Locale,
	})
	if err != nil { // not for strings
		panic(err)
	}
	// Requests for one mailbox are processed in order, so that its limit counts each of them.
	target := string(s.keys.Hash("address:" + mailbox(c.Email)))
	return s.notices.sealer.New(outbox.KindAddressRequest, target, content, v.Now)
}

// addressSender processes requests to prove an address.
type addressSender struct {
	s   *Server
	now func() time.Time
}

// AddressSender returns the sender of outbox.KindAddressRequest.
func (s *Server) AddressSender(now func() time.Time) outbox.Sender { return addressSender{s, now} }

// Parallel returns how many requests are processed at a time.
func (addressSender) Parallel() int { return 2 }

// Send queues the message of a confirmation. If the address belongs to an account already, its
// owner gets another message, and the confirmation ends.
func (r addressSender) Send(ctx context.Context, d *outbox.Delivery) error {
	in, err := readTask[addressRequest](r.s.notices.sealer, d)
	if err != nil {
		return err
	}
	v := Visit{IP: in.IP, Agent: in.Agent, RequestID: in.RequestID, Now: r.now(), Locale: in.Locale}
	if in.ID == "" {
		return r.s.sendAgain(ctx, v, in.Email)
	}
	c, err := r.s.store.ConfirmationByID(ctx, in.ID, v.Now)
	if fault.Is(err, fault.NotFound) { // it has ended meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	owner, err := r.s.userByLogin(ctx, identity.LoginKey(c.Email))
	if err != nil {
		return err
	}
	if owner != nil {
		if err := r.s.notifyOwner(ctx, v, owner, c); err != nil {
			return err
		}
		return r.s.store.DeleteConfirmation(ctx, c.ID)
	}
	return r.s.mailConfirmation(ctx, v, c, proofSecrets{in.Token, in.Code})
}

// brake counts a message of one purpose to a mailbox, and reports whether it may be sent. Purposes
// are counted apart, so that nobody keeps the owner of a mailbox from one message by causing
// others.
func (s *Server) brake(ctx context.Context, v Visit, purpose, address string) (bool, error) {
	c := Failure{
		Key:       purpose + ":" + string(s.keys.Hash(purpose+":"+mailbox(address))),
		Now:       v.Now,
		Threshold: s.cfg.ResetLimit,
		Duration:  s.cfg.ResetWindow,
		Window:    s.cfg.ResetWindow,
	}
	count, err := s.store.Lock(ctx, c.Key, v.Now)
	if err != nil || count.Locked(v.Now) {
		return false, err
	}
	_, err = s.store.RecordFailure(ctx, c)
	return err == nil, err
}

// The purposes of messages that are counted for each mailbox.
const (
	brakeReset   = "mailbox" // links to set a new password
	brakeSignUp  = "mailbox-signup"
	brakeInUse   = "mailbox-in-use"
	brakeAddress = "mailbox-address"
	brakeInvite  = "mailbox-invite"
)
