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
}

// Run prints a line for each part of the period.
func (f *overviewCommand) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		x, err := ops.Overview(ctx, a, f.Period)
		if err != nil {
			return explainQuery(err)
		}
		v := overviewView{Period: x.Period}
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
		})
	})
}
