package metric

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// success is the outcome of what has no error.
const success = "success"

// table is a family of counters with two labels from lists. It is not changed after it was made.
type table map[string]fixed

func newTable(of *prometheus.CounterVec, first, second []string) table {
	t := table{}
	for _, a := range append(first, other) {
		t[a] = fixed{other: lazy(of, a, other)}
		for _, b := range second {
			t[a][b] = lazy(of, a, b)
		}
	}
	return t
}

func (t table) inc(a, b string) {
	f := t[a]
	if f == nil {
		f = t[other]
	}
	f.inc(b)
}

// Tokens counts requests to the token endpoint.
type Tokens struct{ byGrant table }

func newTokens(m *Metrics) *Tokens {
	grants := []string{
		"authorization_code", "refresh_token", "client_credentials", "password",
		"urn:ietf:params:oauth:grant-type:device_code",
		"urn:ietf:params:oauth:grant-type:token-exchange",
		"urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:openid:params:grant-type:ciba",
	}
	return &Tokens{newTable(m.counters("gatehouse_tokens_total",
		"Requests for tokens, by grant_type and outcome: success, or the code of the error.",
		"grant", "outcome"), grants, append(errorCodes(), success))}
}

// Count counts one request; code is that of its error, or "".
func (t *Tokens) Count(grant, code string) {
	if code == "" {
		code = success
	}
	t.byGrant.inc(grant, code)
}

// Outcomes of a check of one factor.
const (
	OutcomeSuccess  = success
	OutcomeRejected = "rejected" // the answer is wrong
	OutcomeLocked   = "locked"   // too many wrong answers before
	OutcomeFailed   = "failed"   // it could not be checked
)

// SignIns counts what people prove when they sign in.
type SignIns struct {
	byMethod table
	locks    fixed
	refused  fixed
}

func newSignIns(m *Metrics) *SignIns {
	methods := []string{
		"password", "passkey", "totp", "backup_code", "email_code", "magic_link", "email",
	}
	return &SignIns{
		byMethod: newTable(m.counters("gatehouse_sign_in_checks_total",
			"Answers checked while people sign in, by method (password, passkey, totp, …) and outcome "+
				"(success, rejected, locked, failed).", "method", "outcome"),
			methods, []string{OutcomeSuccess, OutcomeRejected, OutcomeLocked, OutcomeFailed}),
		locks: newFixed(m.counters("gatehouse_account_locks_total",
			"Locks that began after too many failures, by what is locked: account, address, "+
				"email_codes or browser.", "scope"),
			[]string{"account", "address", "email_codes", "browser"}),
		refused: newFixed(m.counters("gatehouse_mail_requests_refused_total",
			"Sign-ups, password resets and requests for a message to sign in with that "+
				"RATE_LIMIT_MAIL_REQUESTS refused, by kind: sign_up, password_reset or sign_in_code.",
			"kind"), []string{"sign_up", "password_reset", "sign_in_code"}),
	}
}

// Count counts one check.
func (s *SignIns) Count(method, outcome string) { s.byMethod.inc(method, outcome) }

// Lock counts one lock.
func (s *SignIns) Lock(scope string) { s.locks.inc(scope) }

// Refuse counts one request that was refused because there are too many in all.
func (s *SignIns) Refuse(kind string) { s.refused.inc(kind) }

// Hashing measures the queue of password hashes.
type Hashing struct {
	wait     prometheus.Histogram
	rejected prometheus.Counter
	waiting  prometheus.Gauge
	running  prometheus.Gauge
}

func newHashing(m *Metrics) *Hashing {
	return &Hashing{
		wait: m.histogram("gatehouse_password_hash_wait_seconds",
			"Time that a sign-in waits for its turn to hash a password.",
			[]float64{.001, .01, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		rejected: m.counter("gatehouse_password_hash_rejected_total",
			"Sign-ins answered 503 because LOGIN_HASH_QUEUE was full."),
		waiting: m.gauge("gatehouse_password_hash_waiting", "Sign-ins that wait for their turn now."),
		running: m.gauge("gatehouse_password_hash_running", "Passwords being hashed now."),
	}
}

// Enter counts a sign-in that begins to wait, and returns what ends the waiting: with true, the
// hashing begins, and what that returns ends it.
func (h *Hashing) Enter() func(entered bool) (leave func()) {
	began := time.Now()
	h.waiting.Inc()
	return func(entered bool) func() {
		h.waiting.Dec()
		if !entered {
			return nil
		}
		h.wait.Observe(time.Since(began).Seconds())
		h.running.Inc()
		return h.running.Dec
	}
}

// Reject counts a sign-in for which the queue had no room.
func (h *Hashing) Reject() { h.rejected.Inc() }

// Events counts the entries of the audit log.
type Events struct{ byType fixed }

func newEvents(m *Metrics) *Events {
	return &Events{newFixed(m.counters("gatehouse_audit_events_total",
		"Events that this server has written to the audit log, by type. Repeated failures and, with "+
			"AUDIT_ISSUANCE=aggregate, issued tokens are counted in one event.", "type"), nil)}
}

// Types sets the types that have series of their own. Call it before Count.
func (e *Events) Types(types []string) {
	of := e.byType[other].of
	e.byType = newFixed(of, types)
}

// Count counts one event.
func (e *Events) Count(typ string) { e.byType.inc(typ) }
