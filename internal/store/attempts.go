package store

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// A refresh token works once, but a client whose request was not answered must be able to repeat
// it: its rotation may have been stored, and the commit's outcome may become known only after the
// database is back. So each rotation is an attempt with a name, which the rotation writes into the
// grant: server.number.end-of-the-hash. An attempt that ends without an answer is unanswered. The
// server then writes, as soon as the database accepts it, that the grant's rotation is unanswered,
// unless another attempt has answered it since. A server that dies leaves behind in its row of
// servers the number up to which its attempts are settled: answered, or written as unanswered. Of
// later ones nobody knows, and once the server is dead, they count as unanswered.
//
// An unanswered rotation may be repeated while its successor has not been used. Repeating it is an
// attempt, too, and one conditional statement: so each answered rotation stays single-use.
const (
	beatEvery   = 10 * time.Second // between two signs of life
	settleEvery = 2 * time.Second  // the pause between answering and settling
	serverDead  = 30 * time.Second // without a sign of life
	lateCommit  = 30 * time.Second // in which a statement may still arrive at the database

	// maxUnanswered bounds the attempts that a server remembers: about 30 MB.
	maxUnanswered = 100_000

	unansweredBy = "unanswered" // in place of the server
	attemptTail  = 12           // characters of the hash that an attempt is for
)

// attempts are those of this process. Without a name, as in a command, it names none.
type attempts struct {
	mu      sync.Mutex
	server  string
	last    int64
	running map[int64]struct{}
	lost    map[int64]lostAttempt // unanswered, and not yet written as that
	reached int64                 // up to which all had ended at a time
	done    int64                 // up to which they are settled
	at      time.Time             // of reached
	wake    chan struct{}
}

type lostAttempt struct {
	name  string
	grant oauth.GrantID
	hash  secret.Hash
	since time.Time
}

func (a *attempts) start() {
	a.running, a.lost = make(map[int64]struct{}), make(map[int64]lostAttempt)
	a.wake = make(chan struct{}, 1)
}

// attemptFor names an attempt that is to write a hash.
func attemptFor(server string, n int64, h secret.Hash) string {
	return server + "." + strconv.FormatInt(n, 10) + "." + tail(h)
}

func tail(h secret.Hash) string { return string(h[max(0, len(h)-attemptTail):]) }

// readAttempt reads the name of an attempt. It returns false if the attempt did not write the
// hash: an earlier release rotates without naming attempts.
func readAttempt(name string, h secret.Hash) (server string, n int64, ok bool) {
	server, rest, _ := strings.Cut(name, ".")
	number, end, found := strings.Cut(rest, ".")
	n, err := strconv.ParseInt(number, 10, 64)
	return server, n, found && err == nil && end == tail(h)
}

// BeginRotation names an attempt, if this process is a server.
func (d *DB) BeginRotation(r *oauth.RefreshRotation) {
	a := &d.attempts
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server == "" {
		return
	}
	a.last++
	a.running[a.last] = struct{}{}
	r.Attempt = attemptFor(a.server, a.last, r.New)
}

// EndRotation ends an attempt. Of one that is unanswered it remembers to write that.
func (d *DB) EndRotation(r *oauth.RefreshRotation, unanswered bool) {
	_, n, ok := readAttempt(r.Attempt, r.New)
	if !ok {
		return
	}
	a := &d.attempts
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.running, n)
	if !unanswered {
		return
	}
	if len(a.lost) >= maxUnanswered {
		a.forgetOldest()
	}
	a.lost[n] = lostAttempt{r.Attempt, r.Grant, r.New, time.Now()}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *attempts) forgetOldest() {
	oldest := a.last
	for n := range a.lost {
		oldest = min(oldest, n)
	}
	delete(a.lost, oldest)
}

// settled returns the number up to which all attempts are settled: they had ended some time ago,
// so that their answers have been written to the clients' connections by now.
func (a *attempts) settled(now time.Time) int64 {
	reached, _ := a.open()
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.at) >= settleEvery {
		a.done, a.reached, a.at = a.reached, reached, now
	}
	return a.done
}

// open returns the number up to which all attempts have ended, and the newest number.
func (a *attempts) open() (ended, newest int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ended = a.last
	for n := range a.running {
		ended = min(ended, n-1)
	}
	for n := range a.lost {
		ended = min(ended, n-1)
	}
	return ended, a.last
}

// serveAs sets the name under which attempts begin.
func (a *attempts) serveAs(server string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.server = server
}

// isOpen reports whether an attempt of this process is running, or not yet written as unanswered.
func (a *attempts) isOpen(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, running := a.running[n]
	_, lost := a.lost[n]
	return running || lost
}

func (a *attempts) unwritten() []lostAttempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]lostAttempt, 0, len(a.lost))
	for _, l := range a.lost {
		out = append(out, l)
	}
	return out
}

func (a *attempts) written(l lostAttempt) {
	_, n, _ := readAttempt(l.name, l.hash)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lost, n)
}

// writeUnanswered writes which attempts are unanswered. A statement of such an attempt may still be
// on its way, so that those that are not found in their grants are looked for again for a while.
func (d *DB) writeUnanswered(ctx context.Context, now time.Time) error {
	for _, l := range d.attempts.unwritten() {
		n, err := d.sql.Exec(ctx, "UPDATE grants SET attempt = $1 WHERE id = $2 AND attempt = $3",
			attemptFor(unansweredBy, 0, l.hash), l.grant, l.name)
		if err != nil {
			return err
		}
		if n > 0 || now.Sub(l.since) > lateCommit {
			d.attempts.written(l)
		}
	}
	return nil
}

// RepeatRotation makes an attempt the one that answers a stored rotation. It returns Consumed if
// the rotation was answered before, unless recent, and Unavailable if that is not known yet.
func (d *DB) RepeatRotation(
	ctx context.Context, r oauth.RefreshRotation, recent bool, ev ...audit.Event,
) error {
	g, err := d.Grant(ctx, r.Grant)
	for range maxRepeats {
		if err != nil {
			return err
		}
		known, err := d.attemptStateOf(ctx, g)
		if err != nil {
			return err
		}
		// An attempt is settled only after its grant says that it is unanswered, so that the
		// grant is read after the state.
		if g, err = d.Grant(ctx, r.Grant); err != nil {
			return err
		}
		if g.PrevHash != r.Old || g.RefreshHash != r.New {
			return consumed("refresh token")
		}
		if g.Attempt != known.attempt {
			continue
		}
		if !recent && known.state != attemptUnanswered {
			return notRepeatable(known.state)
		}
		n, err := d.repeat(ctx, r, g, recent, ev)
		if err != nil || n > 0 {
			return err
		}
	}
	return unavailableRepeat()
}

// maxRepeats is how often a repetition looks at a grant that others repeat at the same time.
const maxRepeats = 8

// notRepeatable returns why a rotation whose attempt has this state is not repeated.
func notRepeatable(state int) error {
	if state == attemptOpen {
		return &fault.Error{
			Kind:  fault.Unavailable,
			Text:  "it is not known yet whether an earlier request was answered; try again in a moment",
			After: settleEvery,
		}
	}
	return consumed("refresh token")
}

func unavailableRepeat() error {
	return &fault.Error{
		Kind:  fault.Unavailable,
		Text:  "others are sending the same request; try again in a moment",
		After: time.Second,
	}
}

const repeatRotation = "UPDATE grants SET attempt = $1," +
	" rotated_at = CAST($2 AS BIGINT), last_used_at = CAST($3 AS BIGINT), ip = $4, agent = $5" +
	" WHERE id = $6 AND client_id = $7 AND prev_hash = $8 AND refresh_hash = $9 AND attempt = $10" +
	" AND expires_at > $3 AND " + notRevoked

// repeatArgs is the number of arguments of repeatRotation.
const repeatArgs = 10

var repeatAndRecord = "WITH repeated AS (" + repeatRotation + " RETURNING 1) " + eventTable.into() +
	" SELECT " + placeholders(repeatArgs+1, len(eventTable.columns)) + " FROM repeated"

// repeat runs the statement with its events.
func (d *DB) repeat(
	ctx context.Context, r oauth.RefreshRotation, g *oauth.Grant, recent bool, ev []audit.Event,
) (int64, error) {
	at := r.Now
	if recent { // the time in which an answer may be repeated is not prolonged by repeating it
		at = g.RotatedAt
	}
	return d.changeGrant(ctx, r.Grant, grantChange{repeatRotation, repeatAndRecord}, []any{
		r.Attempt, unixMilli(at), unixMilli(r.Now), clean(r.IP), clean(r.Agent),
		r.Grant, r.Client, r.Old, r.New, g.Attempt,
	}, ev)
}

// What is known of the attempt that rotated a grant last.
const (
	attemptAnswered   = iota
	attemptOpen       // it is not known yet
	attemptUnanswered // nor will it be answered
)

// attemptState is what is known of an attempt, before its grant is read again.
type attemptState struct {
	attempt string
	state   int
}

// attemptStateOf finds out what is known of the attempt that rotated a grant last.
func (d *DB) attemptStateOf(ctx context.Context, g *oauth.Grant) (attemptState, error) {
	known := attemptState{g.Attempt, attemptAnswered}
	server, n, ok := readAttempt(g.Attempt, g.RefreshHash)
	switch {
	case !ok:
		return known, nil
	case server == unansweredBy:
		known.state = attemptUnanswered
		return known, nil
	case server == d.attempts.name():
		if d.attempts.isOpen(n) {
			known.state = attemptOpen
		}
		return known, nil
	}
	var settled, quiet int64
	err := d.sql.Row(ctx, "SELECT settled, "+sqldb.Clock(d.Engine())+" - seen_at FROM servers WHERE id = $1", server).
		Scan(&settled, &quiet)
	switch {
	case fault.Is(err, fault.NotFound): // it has ended in good order
		return known, nil
	case err == nil && settled < n && quiet > serverDead.Milliseconds():
		known.state = attemptUnanswered
	case err == nil && settled < n:
		known.state = attemptOpen
	}
	return known, err
}

func (a *attempts) name() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.server
}

// newServerName returns a short random name.
func newServerName() string { return strings.ToLower(rand.Text()[:13]) }
