package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// overviewCommand shows what has happened.
type overviewCommand struct {
	Period string `default:"24h" placeholder:"PERIOD" help:"How long back: 24h, 7d or 30d."`
}

// overviewPart is what happened in a part of the period.
type overviewPart struct {
	From     timestamp `json:"from"`
	SignIns  int       `json:"sign_ins"`
	Failures int       `json:"failures"`
	Locks    int       `json:"locks"`
	Tokens   int       `json:"tokens"`
	Sessions int       `json:"sessions"`
}

// overviewView is an overview as the command line shows it.
type overviewView struct {
	Period string         `json:"period"`
	Parts  []overviewPart `json:"parts"`

	Attention attentionView `json:"attention"`
}

// attentionView is how many things need attention, of each kind.
type attentionView struct {
	LockedUsers     int `json:"locked_users"`
	DeadMessages    int `json:"dead_messages"`
	ExpiringSecrets int `json:"expiring_secrets"`
	FailingSinks    int `json:"failing_sinks"`
	Gaps            int `json:"gaps"`
	EndedWebhooks   int `json:"ended_webhooks"`
	OldKeys         int `json:"old_keys"`
}

// viewAttention returns what of the sizes needs attention.
func viewAttention(s *admin.Sizes) attentionView {
	x := &s.Attention
	return attentionView{
		LockedUsers:     s.LockedUsers.N,
		DeadMessages:    s.DeadMail.N,
		ExpiringSecrets: x.ExpiringSecrets.N,
		FailingSinks:    x.FailingSinks.N,
		Gaps:            x.Gaps.N,
		EndedWebhooks:   x.EndedWebhooks.N,
		OldKeys:         x.OldKeys.N,
	}
}

// print prints a line for each kind of which there is one.
func (v *attentionView) print(s *table) {
	for _, x := range []struct {
		n          int
		text, look string
	}{
		{v.LockedUsers, "accounts locked after failed attempts to sign in", "user list --status locked"},
		{v.DeadMessages, "messages that could not be delivered", "mail list --state dead"},
		{v.ExpiringSecrets, "clients with a secret that expires within 30 days", "client list"},
		{v.FailingSinks, "targets of the audit log that cannot be reached", "audit sinks"},
		{v.Gaps, "gaps of the last 30 days in what a target of the audit log has", "audit sinks --gaps"},
		{v.EndedWebhooks, "webhooks switched off because the target is gone", "webhook list"},
		{v.OldKeys, "signing keys in use for more than a year", "key list"},
	} {
		if x.n > 0 {
			s.line("Needs attention: %d %s. See: gatehouse %s", x.n, x.text, x.look)
		}
	}
}

// Run prints a line for each part of the period.
func (f *overviewCommand) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		x, err := ops.Overview(ctx, a, f.Period)
		if err != nil {
			return explainQuery(err)
		}
		v := overviewView{Period: x.Period, Attention: viewAttention(&x.Sizes)}
		for i := range x.SignIns {
			v.Parts = append(v.Parts, overviewPart{
				From:     timestamp{x.From.Add(time.Duration(i) * x.Step)},
				SignIns:  x.SignIns[i],
				Failures: x.Failures[i],
				Locks:    x.Locks[i],
				Tokens:   x.Tokens[i],
				Sessions: x.Sessions[i],
			})
		}
		return c.show(v, func(s *table) {
			s.row("FROM", "SIGN-INS", "FAILED", "LOCKED", "TOKENS", "SESSIONS")
			for _, p := range v.Parts {
				s.row(p.From.String(), strconv.Itoa(p.SignIns), strconv.Itoa(p.Failures), strconv.Itoa(p.Locks),
					strconv.Itoa(p.Tokens), strconv.Itoa(p.Sessions))
			}
			v.Attention.print(s)
		})
	})
}
