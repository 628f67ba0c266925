package admin

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// What is counted by the hour.
const (
	CountSignIns  = "sign_ins"
	CountFailures = "failures" // to sign in
	CountTokens   = "tokens"   // issued
	CountLocks    = "locks"
	CountSessions = "sessions" // active at some moment of the hour; not a sum
)

// Counted returns what an event is counted as, or "".
func Counted(t audit.Type) string {
	switch t {
	case audit.LoginSucceeded:
		return CountSignIns
	case audit.LoginFailed:
		return CountFailures
	case audit.AccountLocked:
		return CountLocks
	case audit.AccessTokenIssued, audit.ClientCredentialsIssued, audit.TokensIssued, audit.RefreshTokenUsed:
		return CountTokens
	}
	return ""
}

// OverviewStore is what the overview needs of storage.
type OverviewStore interface {
	// HourlyCounts returns what was counted in the hours that begin from a time on.
	HourlyCounts(ctx context.Context, from time.Time) ([]HourlyCount, error)
	// LongestToken returns the longest time that a token of this database was valid for, or 0.
	LongestToken(ctx context.Context) (time.Duration, error)
	// Sizes returns how many things there are, but for sessions. Beyond a bound of storage a size
	// is a lower bound.
	Sizes(ctx context.Context, now time.Time) (Sizes, error)
}

// HourlyCount is how much of a kind happened in an hour.
type HourlyCount struct {
	Hour time.Time
	Name string // one of the Count constants
	N    int
}

// Sizes are how many things there are.
type Sizes struct {
	Users, Clients, Sessions Size
	DeadMail                 Size // messages that were given up on
	LockedUsers              Size
	Attention                Attention
}

// Attention is what an administrator should look at, beside dead mail and locked accounts.
type Attention struct {
	ExpiringSecrets Size // clients with a secret that expires within ExpiringSoon
	FailingSinks    Size // log servers and webhooks that do not take the audit log now
	Gaps            Size // runs of events of the last 30 days that were given up on
	EndedWebhooks   Size // that the server has switched off
	OldKeys         Size // that have signed for longer than OldKey
}

const (
	// ExpiringSoon is how long before its end a client's secret counts as expiring.
	ExpiringSoon = 30 * 24 * time.Hour
	// OldKey is how long a key may sign before it should be rotated.
	OldKey = 365 * 24 * time.Hour
)

// Size is a number of things.
type Size struct {
	N       int
	AtLeast bool // there are more
}

// Periods of an overview.
const (
	PeriodDay   = "24h"
	PeriodWeek  = "7d"
	PeriodMonth = "30d"
)

// Overview is what has happened on the server.
type Overview struct {
	Period string
	From   time.Time     // when the first part of each series begins
	Step   time.Duration // the length of a part
	// Each has one number for each part of the period. Sessions are the most in one hour.
	SignIns, Failures, Tokens, Locks, Sessions []int
	Sizes                                      Sizes
}

// Overview returns what happened in a period that ends now, "" for a day. Events are counted up to
// a minute after they happen.
func (o *Operations) Overview(ctx context.Context, a Actor, period string) (*Overview, error) {
	if err := o.authorize(a, ScopeMetricsRead); err != nil {
		return nil, err
	}
	out := &Overview{Period: period}
	var parts int
	switch period {
	case "", PeriodDay:
		out.Period, out.Step, parts = PeriodDay, time.Hour, 24
	case PeriodWeek:
		out.Step, parts = 6*time.Hour, 28
	case PeriodMonth:
		out.Step, parts = 24*time.Hour, 30
	default:
		return nil, fault.InvalidField("period", "there is no period %q; the periods are %s, %s and %s",
			period, PeriodDay, PeriodWeek, PeriodMonth)
	}
	now := o.parts.Now()
	last := now.UTC().Truncate(out.Step)
	out.From = last.Add(-time.Duration(parts-1) * out.Step)
	counts, err := o.store.HourlyCounts(ctx, out.From)
	if err != nil {
		return nil, err
	}
	out.fill(counts, parts)
	if out.Sizes, err = o.store.Sizes(ctx, now); err != nil {
		return nil, err
	}
	for _, c := range counts { // the last count, since counting them anew would read them all
		if c.Name == CountSessions {
			out.Sizes.Sessions = Size{N: c.N}
		}
	}
	return out, nil
}

// fill sums counts by parts of the period.
func (x *Overview) fill(counts []HourlyCount, parts int) {
	series := map[string]*[]int{
		CountSignIns:  &x.SignIns,
		CountFailures: &x.Failures,
		CountTokens:   &x.Tokens,
		CountLocks:    &x.Locks,
		CountSessions: &x.Sessions,
	}
	for _, s := range series {
		*s = make([]int, parts)
	}
	for _, c := range counts {
		part := int(c.Hour.Sub(x.From) / x.Step)
		s := series[c.Name]
		switch {
		case s == nil || c.Hour.Before(x.From) || part >= parts:
		case c.Name == CountSessions:
			(*s)[part] = max((*s)[part], c.N)
		default:
			(*s)[part] += c.N
		}
	}
}
