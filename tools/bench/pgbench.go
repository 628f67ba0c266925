package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// A statement is one that the server sent, as PostgreSQL logged it.
type statement struct {
	transaction string // virtual id: statements that share one were sent as one
	text        string
	args        []string // SQL literals
}

// pgbenchName is what the report calls it.
const pgbenchName = "pgbench"

// pgbenchRows is how many refresh families pgbench rotates.
const pgbenchRows = 2000

// pgbench measures the very statements of a refresh, run by PostgreSQL's own load generator: what
// the database could do if nothing stood before it. The statements are those that PostgreSQL logs
// while one family is rotated once. Of a few numbers of clients the one that does most in its first
// pass is used.
func (st *stage) pgbench(ctx context.Context, f *family) (*ceiling, error) {
	logged, err := st.watchRefresh(ctx, f)
	if err != nil {
		return nil, err
	}
	script, err := st.prepareScript(ctx, logged)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(st.pg.Dir, "refresh.sql")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil { // PostgreSQL's account reads it
		return nil, err
	}
	clients := []int{8, 16, 32}
	return &ceiling{pgbenchName, func(ctx context.Context, d time.Duration) (float64, error) {
		best, which := 0.0, 0
		for _, n := range clients {
			rate, err := st.pgbenchOnce(ctx, file, n, d)
			if err != nil {
				return 0, err
			}
			if rate > best {
				best, which = rate, n
			}
		}
		clients = []int{which}
		return best, st.rotated(ctx)
	}}, nil
}

// pgbenchOnce runs a script with so many clients.
func (st *stage) pgbenchOnce(ctx context.Context, script string, clients int, d time.Duration) (float64, error) {
	out, err := st.pg.Tool("pgbench", "-h", "127.0.0.1", "-p", strconv.Itoa(st.pg.Port), "-U", "postgres", "-n", "-M", "prepared",
		"-f", script, "-c", strconv.Itoa(clients), "-j", "2", "-T", strconv.Itoa(max(1, int(d.Seconds()))), "rows").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %.1000s", err, out)
	}
	return parsePgbench(string(out))
}

// watchRefresh rotates a family once while PostgreSQL logs its statements. It rotates twice before,
// to have the statements prepared.
func (st *stage) watchRefresh(ctx context.Context, f *family) ([]statement, error) {
	rotate := func() error {
		a, err := st.form(pathToken, "grant_type", client.GrantTypeRefresh, "refresh_token", f.current()).expect(ctx, st.server.address, http.StatusOK)
		if err != nil {
			return err
		}
		return f.rotate(a.Body)
	}
	if err := errors.Join(rotate(), st.logStatements(ctx, "all")); err != nil {
		return nil, err
	}
	begin, err := os.ReadFile(st.pg.log)
	if err == nil {
		err = rotate()
	}
	time.Sleep(100 * time.Millisecond)
	log, rerr := os.ReadFile(st.pg.log)
	if err := errors.Join(err, rerr, st.logStatements(ctx, "none")); err != nil {
		return nil, err
	}
	return ofRefresh(parseStatements(string(log[len(begin):])))
}

// logStatements sets which statements PostgreSQL logs, and waits until it does.
func (st *stage) logStatements(ctx context.Context, which string) error {
	err := st.pg.run(ctx, "postgres", "ALTER SYSTEM SET log_statement = '"+which+"'", "ALTER SYSTEM SET log_parameter_max_length = -1", "SELECT pg_reload_conf()")
	time.Sleep(300 * time.Millisecond)
	return err
}

// parseStatements reads a log in which every entry begins with the mark and the virtual
// transaction.
func parseStatements(log string) []statement {
	var out []statement
	for entry := range strings.SplitSeq(log, logMark) {
		transaction, rest, _ := strings.Cut(entry, " ")
		rest = strings.TrimRight(rest, "\n")
		if text, ok := strings.CutPrefix(rest, "LOG:  "); ok {
			kind, sql, _ := strings.Cut(text, ": ")
			if kind == "statement" || strings.HasPrefix(kind, "execute ") {
				out = append(out, statement{transaction: transaction, text: strings.ReplaceAll(sql, "\n\t", "\n")})
			}
		}
		if text, ok := strings.CutPrefix(rest, "DETAIL:  "); ok && len(out) > 0 {
			if _, list, ok := strings.Cut(text, "arameters: "); ok {
				out[len(out)-1].args = parseArgs(list)
			}
		}
	}
	return out
}

// parseArgs reads "$1 = 'a', $2 = NULL" into literals. In a quoted one quotes are doubled.
func parseArgs(list string) []string {
	var out []string
	for list != "" {
		_, rest, ok := strings.Cut(list, " = ")
		if !ok {
			break
		}
		end := 0
		if strings.HasPrefix(rest, "'") {
			for end = 1; end < len(rest); end++ {
				if rest[end] != '\'' {
					continue
				}
				if end+1 < len(rest) && rest[end+1] == '\'' {
					end++
					continue
				}
				end++
				break
			}
		} else if end = strings.IndexByte(rest, ','); end < 0 {
			end = len(rest)
		}
		out = append(out, rest[:end])
		list = strings.TrimPrefix(rest[end:], ", ")
	}
	return out
}

// ofRefresh picks the statements of the refresh, without background work, and the statements that
// begin and end their transactions.
func ofRefresh(all []statement) ([]statement, error) {
	rotated, mine := false, map[string]bool{}
	for _, s := range all {
		text := strings.ToUpper(s.text)
		rotated = rotated || strings.Contains(text, "UPDATE GRANTS")
		if strings.Contains(text, "UPDATE GRANTS") || strings.Contains(text, "AUDIT_LOG") || strings.Contains(text, "FROM USERS") {
			mine[s.transaction] = true
		}
	}
	if !rotated {
		return nil, fmt.Errorf("no UPDATE of grants among the %d statements of a refresh", len(all))
	}
	return slices.DeleteFunc(all, func(s statement) bool { return !mine[s.transaction] }), nil
}

var placeholder = regexp.MustCompile(`\$(\d+)`)

// prepareScript inserts rows for pgbench, which rotates each from one hash to the same one, and
// writes its script.
func (st *stage) prepareScript(ctx context.Context, logged []statement) (string, error) {
	grant, hash, next := rotatedIn(logged)
	if grant == "" {
		return "", errors.New("the UPDATE of grants names no id")
	}
	l, err := openLoader(ctx, postgres, st.world.url, false)
	if err != nil {
		return "", err
	}
	defer l.close(ctx)
	_, err = l.db.ExecContext(ctx, "DELETE FROM grants WHERE id LIKE 'pgbench-%'")
	if err == nil {
		err = l.clone(ctx, "grants", "id", grant, pgbenchRows, map[string]string{
			"id": "'pgbench-' || lpad(CAST(seq.n AS TEXT), 28, '0')", "refresh_hash": "'" + next + "'", "last_used_at": "0",
		})
	}
	const row = "('pgbench-' || lpad(CAST(:n AS TEXT), 28, '0'))"
	// An event's id begins with the time, so that the newest is the last, as in the server's.
	const event = "('pgb-' || CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) || '-' || CAST(:a AS TEXT))"
	script := fmt.Sprintf("\\set n random(0, %d)\n\\set a random(100000000000000000, 999999999999999999)\n", pgbenchRows-1)
	st.script = script + scriptOf(logged, map[string]string{grant: row, hash: "'" + next + "'"}, event, time.Now())
	return st.script, err
}

// rotated makes sure that pgbench has done what the server does: a script that finds no row is
// fast.
func (st *stage) rotated(ctx context.Context) error {
	l, err := openLoader(ctx, postgres, st.world.url, false)
	if err != nil {
		return err
	}
	defer l.close(ctx)
	n := 0
	err = l.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM grants WHERE id LIKE 'pgbench-%' AND last_used_at > 0").Scan(&n)
	if err == nil && n == 0 {
		err = fmt.Errorf("the script rotated no refresh token:\n%s", st.script)
	}
	return err
}

// rotatedIn returns the grant of the UPDATE, its former hash and its next.
func rotatedIn(logged []statement) (grant, former, next string) {
	uuid := regexp.MustCompile(`^'[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}'$`)
	keyed := regexp.MustCompile(`^'[A-Za-z0-9_-]{43}'$`)
	for _, s := range logged {
		if !strings.Contains(strings.ToUpper(s.text), "UPDATE GRANTS") {
			continue
		}
		for i, a := range s.args {
			where := regexp.MustCompile(fmt.Sprintf(`\bid = \$%d\b`, i+1))
			old := regexp.MustCompile(fmt.Sprintf(`AND refresh_hash = \$%d\b`, i+1))
			switch plain := strings.Trim(a, "'"); {
			case uuid.MatchString(a) && where.MatchString(s.text):
				grant = plain
			case keyed.MatchString(a) && old.MatchString(s.text):
				former = plain
			case keyed.MatchString(a):
				next = plain
			}
		}
	}
	return grant, former, next
}

// scriptOf writes statements for pgbench, with values in the place of parameters. Values in replace
// become expressions; so does the first value of an insertion into the audit log, which is its key.
// Times stay as far from now as they were when they were logged. What was sent as one transaction
// is one pipeline.
func scriptOf(logged []statement, replace map[string]string, event string, now time.Time) string {
	var b strings.Builder
	open := false // BEGIN … COMMIT
	for i, s := range logged {
		word := strings.ToUpper(strings.TrimSpace(s.text))
		inPipe := func(j int) bool { return j >= 0 && j < len(logged) && logged[j].transaction == s.transaction }
		if word == "BEGIN" {
			open = true
		}
		if !open && inPipe(i+1) && !inPipe(i-1) {
			b.WriteString("\\startpipeline\n")
		}
		at := strings.Index(word, "INTO AUDIT_LOG") // from here on a value is one of the event's
		key := firstParameter(s.text, at)
		text := placeholder.ReplaceAllStringFunc(s.text, func(p string) string {
			n, _ := strconv.Atoi(p[1:])
			if n > len(s.args) {
				return p
			}
			v := s.args[n-1]
			if n == key {
				return event
			}
			if expr, ok := replace[strings.Trim(v, "'")]; ok && (key == 0 || n < key) {
				return expr
			}
			return typed(v, now)
		})
		b.WriteString(strings.ReplaceAll(text, "\n", " ") + ";\n")
		if !open && inPipe(i-1) && !inPipe(i+1) {
			b.WriteString("\\endpipeline\n")
		}
		if word == "COMMIT" {
			open = false
		}
	}
	return b.String()
}

// firstParameter returns the number of the first parameter from a place on, or 0. Parameters are
// numbered in the order in which they appear.
func firstParameter(text string, from int) int {
	if from < 0 {
		return 0
	}
	m := placeholder.FindStringSubmatch(text[from:])
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// typed returns a logged literal as an expression of a definite type: the log quotes numbers, too.
// A number that can only be a time, in milliseconds, moves with the clock.
func typed(literal string, now time.Time) string {
	plain := strings.Trim(literal, "'")
	n, err := strconv.ParseInt(plain, 10, 64)
	switch {
	case err != nil:
		return "(" + strings.ReplaceAll(literal, ":", "' || chr(58) || '") + ")" // a colon would begin a variable of pgbench's
	case n > now.UnixMilli()/2 && n < now.UnixMilli()*2:
		return fmt.Sprintf("(CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) + %d)", n-now.UnixMilli())
	}
	return plain
}

var pgbenchRate = regexp.MustCompile(`(?m)^tps = ([\d.]+)`)

// parsePgbench reads the transactions a second.
func parsePgbench(out string) (float64, error) {
	m := pgbenchRate.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("pgbench printed no rate: %.500s", out)
	}
	return strconv.ParseFloat(m[1], 64)
}
