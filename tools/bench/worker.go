package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
)

// wrongAnswer returns the error of an answer that was not expected.
func wrongAnswer(status int, body []byte) error {
	return fmt.Errorf("answered %d: %.200s", status, body)
}

// cycle sends a list of requests over and over. Unit is how many of them make one unit of work.
type cycle struct {
	requests [][]byte
	want     []int // the status of each request in a unit
	at       int
}

func (c *cycle) next() []byte { return c.requests[c.at%len(c.requests)] }

func (c *cycle) took(status int, body []byte) (bool, error) {
	step := c.at % len(c.want)
	c.at++
	if status != c.want[step] {
		c.at += len(c.want) - 1 - step // the rest of the unit makes no sense without it
		return false, wrongAnswer(status, body)
	}
	return step == len(c.want)-1, nil
}

// cycles deals requests, in units, to as many workers.
func cycles(workers int, requests [][]byte, want ...int) driveLoad {
	return driveLoad{workers: func(bool) []worker {
		out := make([]worker, workers)
		for i := range out {
			units := len(requests) / len(want)
			first := units * i / workers * len(want)
			out[i] = &cycle{requests: slices.Concat(requests[first:], requests[:first]), want: want}
		}
		return out
	}}
}

// tokens are what a grant's holder has.
type tokens struct{ access, refresh string }

// family is one chain of refresh tokens, with the request that holds the current one in its place.
type family struct {
	raw   []byte
	token int // where in raw the token begins
	size  int
}

// newFamily makes the chain that begins with a token.
func newFamily(client, secret, token string) *family {
	raw := form(pathToken, client, secret, "grant_type", "refresh_token", "refresh_token", token).raw()
	return &family{raw: raw, token: bytes.LastIndex(raw, []byte(token)), size: len(token)}
}

// current returns the chain's present token.
func (f *family) current() string { return string(f.raw[f.token : f.token+f.size]) }

// rotate replaces the token by its successor in a response. Tokens are of one length and need no
// escaping in a form.
func (f *family) rotate(body []byte) error {
	token := member(body, "refresh_token")
	if len(token) != f.size {
		return fmt.Errorf("no successor of the refresh token in %.200s", body)
	}
	copy(f.raw[f.token:], token)
	return nil
}

// A refresher rotates its families one after the other. A family that failed is dropped.
type refresher struct {
	families []*family
	at       int
	frozen   bool
}

func (r *refresher) next() []byte {
	if len(r.families) == 0 {
		return nil
	}
	r.at %= len(r.families)
	return r.families[r.at].raw
}

func (r *refresher) took(status int, body []byte) (bool, error) {
	var err error
	if status != http.StatusOK {
		err = wrongAnswer(status, body)
	} else if !r.frozen {
		err = r.families[r.at].rotate(body)
	}
	if err != nil {
		r.families = slices.Delete(r.families, r.at, r.at+1)
		return false, err
	}
	r.at++
	return true, nil
}

// refreshes deals families to workers. Passes go on where the former one stopped; the bare server
// gets copies.
func refreshes(workers int, families []*family) driveLoad {
	live := make([]worker, workers)
	for i := range live {
		live[i] = &refresher{families: slices.Clone(families[len(families)*i/workers : len(families)*(i+1)/workers])}
	}
	return driveLoad{workers: func(frozen bool) []worker {
		if !frozen {
			return live
		}
		out := make([]worker, workers)
		for i := range out {
			of := live[i].(*refresher).families
			out[i] = &refresher{families: of, frozen: true}
		}
		return out
	}}
}

// errNoTokens says that an exchange gave none.
var errNoTokens = errors.New("an answer without tokens")

// single sends each request of a list once, whichever worker comes next, and hands the answers to
// keep.
type single struct {
	requests [][]byte
	taken    *atomic.Int64
	again    bool // begin anew at the end of the list
	keep     func(i int, body []byte) error
	mine     int
}

func (s *single) next() []byte {
	i := int(s.taken.Add(1)) - 1
	if i >= len(s.requests) && !s.again {
		return nil
	}
	s.mine = i % len(s.requests)
	return s.requests[s.mine]
}

func (s *single) took(status int, body []byte) (bool, error) {
	if status != http.StatusOK {
		return false, wrongAnswer(status, body)
	}
	if s.keep != nil {
		if err := s.keep(s.mine, body); err != nil {
			return false, err
		}
	}
	return true, nil
}

// singles sends each of the requests once in all its passes together; to the bare server it may
// send them again.
func singles(workers int, requests [][]byte, keep func(i int, body []byte) error) driveLoad {
	var taken atomic.Int64
	return driveLoad{workers: func(frozen bool) []worker {
		out := make([]worker, workers)
		for i := range out {
			w := &single{requests: requests, taken: &taken, keep: keep}
			if frozen {
				w.taken, w.again, w.keep = new(atomic.Int64), true, nil
			}
			out[i] = w
		}
		return out
	}}
}

// tokensOf reads a token answer.
func tokensOf(body []byte) (tokens, error) {
	t := tokens{string(member(body, "access_token")), string(member(body, "refresh_token"))}
	if t.access == "" {
		return t, errNoTokens
	}
	return t, nil
}
