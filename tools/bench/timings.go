package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Whether an address has an account must not be seen by how long an answer takes. This part takes
// times of requests with known and unknown addresses in turn, and compares the two by their medians
// and by the rank-sum test of Mann and Whitney: |z| beyond 3 says that they differ.

const (
	timedUsers    = 20 // accounts that exist
	timedPassword = "Tr4verse-the-Quiet-Valley"
)

// timedForms returns the forms that a stranger sends with an address.
func timedForms() map[string]func(address string) (path string, form url.Values) {
	return map[string]func(string) (string, url.Values){
		"sign-in": func(a string) (string, url.Values) {
			return pathLogin, url.Values{"username": {a}, "password": {"wrong pass phrase 7"}}
		},
		"sign-up": func(a string) (string, url.Values) {
			return "/signup", url.Values{"email": {a}, "name": {"Ada"}, "password": {timedPassword}}
		},
		"reset": func(a string) (string, url.Values) {
			return "/forgot-password", url.Values{"email": {a}}
		},
		"email code": func(a string) (string, url.Values) {
			return "/login/email", url.Values{"email": {a}}
		},
	}
}

// timings takes n times of each form and each kind of address, and prints them.
func (b *bench) timings(ctx context.Context, n int) error {
	database := "sqlite:" + filepath.Join(b.dir, "timings.db")
	s, err := b.startServer(ctx, database, "LOGIN_METHODS=password email_code", "ENABLE_SIGNUP=true",
		"LOCKOUT_THRESHOLD=0", "PASSWORD_RESET_RATE_LIMIT=1000")
	if err != nil {
		return err
	}
	defer func() { _ = s.end() }()
	for i := range timedUsers {
		cmd := exec.CommandContext(ctx, b.binary, "user", "create", "--email", email(i), "--email-verified", "--password-stdin")
		cmd.Env = append(plainEnviron(), "DATABASE_URL="+database, "SECRET_KEY="+b.secretKey)
		cmd.Stdin = strings.NewReader(timedPassword + "\n")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("a user cannot be created: %w\n%s", err, text)
		}
	}
	fmt.Printf("%-12s %14s %16s %8s\n", "form", "known, median", "unknown, median", "z")
	forms := timedForms()
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		known, unknown, err := takeTimes(ctx, s.address, forms[name], n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Printf("%-12s %14s %16s %8.2f\n", name, median(known).Round(time.Microsecond),
			median(unknown).Round(time.Microsecond), rankSum(known, unknown))
	}
	return nil
}

// takeTimes sends a form with known and unknown addresses in a random order.
func takeTimes(
	ctx context.Context, address string, form func(string) (string, url.Values), n int,
) (known, unknown []time.Duration, err error) {
	cl := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for i := range n {
		kinds := []bool{true, false}
		rand.Shuffle(2, func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, exists := range kinds {
			to := email(i % timedUsers)
			if !exists {
				to = email(timedUsers + i)
			}
			took, err := timeForm(ctx, cl, address, form, to)
			if err != nil {
				return nil, nil, err
			}
			if exists {
				known = append(known, took)
			} else {
				unknown = append(unknown, took)
			}
		}
	}
	return known, unknown, nil
}

func timeForm(
	ctx context.Context, cl *http.Client, address string, form func(string) (string, url.Values), to string,
) (time.Duration, error) {
	path, values := form(to)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, strings.NewReader(values.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	begin := time.Now()
	a, err := cl.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, a.Body)
	took := time.Since(begin)
	_ = a.Body.Close()
	if err == nil && (a.StatusCode == http.StatusTooManyRequests || a.StatusCode >= 500) {
		err = fmt.Errorf("the answer is %d", a.StatusCode)
	}
	return took, err
}

// rankSum returns the standardized statistic of Mann and Whitney for two samples: 0 if neither
// tends to be larger, and normally distributed if they do not differ.
func rankSum(a, b []time.Duration) float64 {
	type value struct {
		took  time.Duration
		first bool
	}
	var all []value
	for _, d := range a {
		all = append(all, value{d, true})
	}
	for _, d := range b {
		all = append(all, value{d, false})
	}
	slices.SortFunc(all, func(x, y value) int { return cmp.Compare(x.took, y.took) })
	sum := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].took == all[i].took {
			j++
		}
		for _, v := range all[i:j] {
			if v.first {
				sum += float64(i+j+1) / 2 // ties share the mean of their ranks
			}
		}
		i = j
	}
	n, m := float64(len(a)), float64(len(b))
	return (sum - n*(n+m+1)/2) / math.Sqrt(n*m*(n+m+1)/12)
}
