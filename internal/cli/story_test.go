package cli_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/app"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		program: func() {
			os.Exit(app.Main(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestStories runs the program as its users do, each story with a database of its own.
func TestStories(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: useBinary,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"signin": signIn,
			"enroll": enroll,
			"grab":   grab,
			"deny":   deny,
			"status": status,
		},
	})
}

// useBinary makes a story run the binary that GATEHOUSE_TEST_BINARY names instead of the test's
// own: a program with the race detector takes ten times as long to start, and a story starts
// dozens.
func useBinary(env *testscript.Env) error {
	binary := os.Getenv("GATEHOUSE_TEST_BINARY")
	if binary == "" {
		return nil
	}
	dir := filepath.Join(env.WorkDir, ".bin")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	env.Setenv("PATH", dir+string(os.PathListSeparator)+env.Getenv("PATH"))
	return os.Symlink(binary, filepath.Join(dir, program))
}

// program is the name of the binary in stories.
const program = "gatehouse"

// signIn signs a user in as a browser would: signin NAME PASSWORD [REQUEST-ID].
func signIn(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 && len(args) != 3 {
		ts.Fatalf("usage: signin NAME PASSWORD [REQUEST-ID]")
	}
	v := login.Visit{IP: "192.0.2.7", Agent: "Browser\x1b[31m/1", Now: time.Now()}
	if len(args) == 3 {
		v.RequestID = args[2]
	}
	ctx := context.Background()
	db, l := openStory(ts)
	defer db.Close()
	step, err := l.Password(ctx, v, login.Attempt{Username: args[0], Password: args[1]})
	switch {
	case neg && err == nil && step.Done != nil:
		ts.Fatalf("%s could sign in", args[0])
	case !neg && err != nil:
		ts.Fatalf("%s could not sign in: %v", args[0], err)
	case !neg && step.Done == nil:
		ts.Fatalf("the sign-in of %s is not complete: %s", args[0], step.Next)
	}
}

// enroll sets up an authenticator app for a user: enroll NAME.
func enroll(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: enroll NAME")
	}
	ctx, v := context.Background(), login.Visit{IP: "192.0.2.7", Now: time.Now()}
	db, l := openStory(ts)
	defer db.Close()
	u, err := db.UserByRef(ctx, args[0])
	ts.Check(err)
	e, err := l.Enroll(ctx, v, u, "totp", "")
	ts.Check(err)
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(e.Secret, " ", ""))
	ts.Check(err)
	_, err = l.ConfirmEnrollment(ctx, v, u, "totp", url.Values{
		"enrollment": {e.Token},
		"code":       {totpAt(seed, v.Now)},
	})
	ts.Check(err)
}

// totpAt returns the code of an authenticator app (RFC 6238 §4.2).
func totpAt(seed []byte, now time.Time) string {
	m := hmac.New(sha1.New, seed)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(now.Unix()/30)))
	sum := m.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

// openStory opens the database that the commands of a story work on.
func openStory(ts *testscript.TestScript) (*store.DB, *login.Server) {
	raw, err := os.ReadFile(ts.MkAbs("data/secret.key"))
	ts.Check(err)
	keys, err := secret.NewKeys([]byte(strings.TrimSpace(string(raw))))
	ts.Check(err)
	db, err := store.Open(context.Background(), store.Options{
		URL: "sqlite:" + ts.MkAbs("data/gatehouse.db"), Report: func(err error) { ts.Logf("%v", err) },
	})
	ts.Check(err)
	cfg, err := config.Load(config.Source{})
	ts.Check(err)
	signIn, err := app.LoginConfig(cfg)
	ts.Check(err)
	return db, login.New(signIn, db, keys, secret.NewPasswords(1, 1))
}

// deny stores a denial as the gateway does: deny REQUEST-ID ROUTE-ID.
func deny(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: deny REQUEST-ID ROUTE-ID")
	}
	r := &access.DenialRecord{
		RequestID: args[0],
		At:        time.Now(),
		Method:    "POST",
		Host:      "api.example.com",
		Path:      "/shop/v1/orders",
		IP:        "192.0.2.7",
		Status:    403,
		Route:     args[1],
		Caller:    access.RecordedCaller{By: access.ByToken, Client: "app", User: "0199"},
		Denial: access.RecordedDenial{
			Rule:   "scope",
			Reason: "The token lacks a scope.",
			Needed: []string{"orders:read", "orders:write"},
			Had:    []string{"orders:read"},
			Remedy: "Ask for orders:write, too.",
			Code:   "insufficient_scope",
		},
	}
	if r.Route != "" {
		r.RouteName = "shop/v1"
	}
	db, _ := openStory(ts)
	defer db.Close()
	ts.Check(db.PutDenials(context.Background(), []*access.DenialRecord{r}))
}

// status runs a command that must end with an exit status, and with one line on stderr: status N
// COMMAND…
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
	if n := strings.Count(ts.ReadFile("stderr"), "\n"); n != 1 {
		ts.Fatalf("%d lines on stderr, want 1", n)
	}
}

// grab puts what a pattern's group finds in the last output into a variable: grab NAME PATTERN.
func grab(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: grab NAME PATTERN")
	}
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("the output has nothing like %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}
