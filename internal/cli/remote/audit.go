package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

func eventOf(doc object) audit.Event {
	return audit.Event{
		ID:         member[string](doc, "id"),
		At:         at(doc, "timestamp"),
		Type:       member[audit.Type](doc, "type"),
		Actor:      member[string](doc, "actor_id"),
		ActorType:  member[string](doc, "actor_type"),
		User:       member[string](doc, "user_id"),
		Client:     member[string](doc, "client_id"),
		Session:    member[string](doc, "session_id"),
		Grant:      member[string](doc, "grant_id"),
		IP:         member[string](doc, "ip_address"),
		Agent:      member[string](doc, "user_agent"),
		RequestID:  member[string](doc, "request_id"),
		Reason:     member[string](doc, "reason"),
		Detail:     member[map[string]string](doc, "metadata"),
		Changes:    member[[]audit.Change](doc, "changes"),
		TargetType: member[string](doc, "resource_type"),
		TargetID:   member[string](doc, "resource_id"),
	}
}

func eventsOf(docs []object) []audit.Event {
	var out []audit.Event
	for _, doc := range docs {
		out = append(out, eventOf(doc))
	}
	return out
}

func auditParameters(q admin.AuditQuery) url.Values {
	return parameters("event", q.Event, "actor_id", q.Actor, "user_id", q.User, "client_id", q.Client,
		"resource_type", q.TargetType, "resource_id", q.TargetID, "request_id", q.RequestID, "reason", q.Reason, "failed", whether(q.Failures),
		"ip", q.IP, "text", q.Text, "from", instant(q.Since), "to", instant(q.Until))
}

// named stores the names of whom an event is about and who caused it.
func named(page *admin.EventPage, doc object) {
	if name := member[string](doc, "user_name"); name != "" {
		page.Names[member[string](doc, "user_id")] = name
	}
	name, id := member[string](doc, "actor_name"), member[string](doc, "actor_id")
	switch {
	case name == "":
	case member[string](doc, "actor_type") == audit.ActorClient:
		page.Clients[id] = name
	default:
		page.Names[id] = name
	}
}

// Events returns a page of the audit log.
func (s *Server) Events(ctx context.Context, _ admin.Actor, q admin.AuditQuery) (*admin.EventPage, error) {
	out := &admin.EventPage{Names: map[string]string{}, Clients: map[string]string{}}
	p := admin.Page{Limit: q.Limit, Offset: q.Offset, Cursor: q.Cursor, Exact: q.Exact}
	found, err := page(ctx, s, auditParameters(q), p, func(doc *object) (audit.Event, error) {
		named(out, *doc)
		return eventOf(*doc), nil
	}, "audit-logs")
	if err != nil {
		return nil, err
	}
	out.Events, out.Total, out.AtLeast, out.Next = found.Items, found.Total, found.AtLeast, found.Next
	return out, nil
}

// Event returns an event.
func (s *Server) Event(ctx context.Context, _ admin.Actor, id string) (*admin.EventPage, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "audit-logs", id); err != nil {
		return nil, err
	}
	out := &admin.EventPage{
		Events:  []audit.Event{eventOf(doc)},
		Total:   1,
		Names:   map[string]string{},
		Clients: map[string]string{},
	}
	named(out, doc)
	return out, nil
}

// errTorn is the error of a stream that ended too early.
var errTorn = errors.New("the connection ended before the export was whole; repeat it")

// open begins a stream.
func (s *Server) open(ctx context.Context, query url.Values, path ...string) (io.ReadCloser, error) {
	answer, err := s.send(ctx, &request{method: http.MethodGet, path: path, query: query, stream: true})
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// ExportEvents calls write with every event that matches.
func (s *Server) ExportEvents(
	ctx context.Context, _ admin.Actor, q admin.AuditQuery, write func(*audit.Event) error,
) error {
	in, err := s.open(ctx, auditParameters(q), "audit-logs", "export")
	if err != nil {
		return err
	}
	defer in.Close()
	lines, n := newLines(in), int64(0)
	for {
		line, err := lines.next()
		if err != nil {
			return s.torn(ctx, err)
		}
		var doc object
		if err := json.Unmarshal(line, &doc); err != nil {
			return fmt.Errorf("the answer of %s cannot be read: %w", s.base, err)
		}
		if member[bool](doc, "end") {
			if member[int64](doc, "count") != n {
				return errTorn
			}
			return nil
		}
		n++
		e := eventOf(doc)
		if err := write(&e); err != nil {
			return err
		}
	}
}

// torn returns the error of a stream that ended too early.
func (s *Server) torn(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return s.unreachable(ctx, err)
}

// lines reads a stream of JSON lines.
type lines struct{ r *bufio.Reader }

func newLines(r io.Reader) *lines { return &lines{bufio.NewReaderSize(r, 64<<10)} }

// maxLine bounds a line, in bytes.
const maxLine = 8 << 20

// next returns the next line. io.EOF is its error at the end.
func (l *lines) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && len(line) > 0 && errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// ExportUsers writes users to w.
func (s *Server) ExportUsers(
	ctx context.Context, _ admin.Actor, in admin.ExportOptions, w io.Writer,
) (int, error) {
	query := userParameters(in.Query)
	values := url.Values(query)
	values.Del("sort")
	values.Set("format", string(in.Format))
	if in.Hashes {
		values.Set("password_hashes", "true")
	}
	return s.export(ctx, values, in.Format, w, "users", "export")
}

// ExportClients writes clients to w.
func (s *Server) ExportClients(ctx context.Context, _ admin.Actor, in admin.ClientExport, w io.Writer) (int, error) {
	q := in.Query
	values := parameters("search", q.Search, "type", q.Type, "secret_expires_before", instant(q.SecretExpiresBefore),
		"format", string(in.Format))
	return s.export(ctx, values, in.Format, w, "clients", "export")
}

// export writes the file at a path to w, and returns how many things it has.
func (s *Server) export(
	ctx context.Context, query url.Values, format admin.UserFormat, w io.Writer, path ...string,
) (int, error) {
	body, err := s.open(ctx, query, path...)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	count := &counter{csv: format == admin.FormatCSV}
	if _, err := io.Copy(io.MultiWriter(w, count), body); err != nil {
		return 0, s.torn(ctx, err)
	}
	if !count.csv && !count.ended() {
		return 0, errTorn
	}
	return count.things(), nil
}

// counter counts the things of an export as it passes.
type counter struct {
	csv    bool
	rows   int
	quoted bool
	last   []byte // the last line, of JSON
	line   []byte
}

// maxTail bounds what is kept of a line, in bytes: the last one is short.
const maxTail = 256

// Write counts the lines of a part.
func (c *counter) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case c.csv && b == '"':
			c.quoted = !c.quoted
		case b == '\n' && !c.quoted:
			c.rows++
			c.last, c.line = c.line, c.last[:0]
		case len(c.line) < maxTail:
			c.line = append(c.line, b)
		}
	}
	return len(p), nil
}

// ended reports whether the last line says that the export is whole.
func (c *counter) ended() bool {
	_, end, n, err := audit.ReadExported(c.last)
	return err == nil && end && n == int64(c.rows-1)
}

// things returns how many rows are things: all but the header, or the last line.
func (c *counter) things() int { return max(c.rows-1, 0) }

// ImportUsers creates the users of a file.
func (s *Server) ImportUsers(
	ctx context.Context, _ admin.Actor, in admin.ImportOptions, open func() (io.Reader, error),
	report func(admin.LineResult) error,
) (admin.ImportSummary, error) {
	q := &request{
		method: http.MethodPost,
		path:   []string{"users", "import"},
		query:  parameters("format", string(in.Format)),
		open:   open,
		stream: true,
	}
	if in.DryRun {
		q.query.Set("dry_run", "true")
	}
	if !in.StopOnError {
		q.query.Set("on_error", "skip")
	}
	if f := in.Firebase; f != nil {
		q.header = http.Header{
			"Firebase-Signer-Key": {f.SignerKey},
			"Firebase-Rounds":     {strconv.Itoa(f.Rounds)},
			"Firebase-Mem-Cost":   {strconv.Itoa(f.MemCost)},
		}
		if f.SaltSeparator != "" {
			q.header.Set("Firebase-Salt-Separator", f.SaltSeparator)
		}
	}
	return s.imported(ctx, q, func(doc object) error { return report(resultOf(doc)) })
}

// ImportClients registers the clients of a file.
func (s *Server) ImportClients(
	ctx context.Context, _ admin.Actor, in admin.ClientImport, open func() (io.Reader, error),
	report func(admin.ClientResult) error,
) (admin.ImportSummary, error) {
	q := &request{
		method: http.MethodPost,
		path:   []string{"clients", "import"},
		query:  parameters("format", string(in.Format)),
		open:   open,
		stream: true,
	}
	if in.DryRun {
		q.query.Set("dry_run", "true")
	}
	return s.imported(ctx, q, func(doc object) error {
		return report(admin.ClientResult{
			Line:   member[int](doc, "line"),
			ID:     client.ID(member[string](doc, "client_id")),
			Result: member[string](doc, "result"),
			Secret: member[string](doc, "client_secret"),
			Note:   member[string](doc, "note"),
			Field:  member[string](doc, "field"),
			Error:  member[string](doc, "error"),
		})
	})
}

// imported sends a file and reads what became of its lines.
func (s *Server) imported(
	ctx context.Context, q *request, report func(object) error,
) (sum admin.ImportSummary, err error) {
	answer, err := s.send(ctx, q)
	if err != nil {
		return sum, err
	}
	defer answer.Body.Close()
	results := newLines(answer.Body)
	for {
		line, err := results.next()
		if err != nil {
			if err = s.torn(ctx, err); errors.Is(err, errTorn) {
				err = errors.New("the connection ended before the import did; repeat it: what is stored already is left alone")
			}
			return sum, err
		}
		var doc object
		if err := json.Unmarshal(line, &doc); err != nil {
			return sum, fmt.Errorf("the answer of %s cannot be read: %w", s.base, err)
		}
		if member[bool](doc, "end") {
			return summaryOf(doc), nil
		}
		if err := report(doc); err != nil {
			return sum, err
		}
	}
}

// VerifyAudit returns errHere: the check is worth something where the database is.
func (s *Server) VerifyAudit(context.Context, admin.Actor, admin.VerifyInput) (*admin.Verification, error) {
	return nil, errHere
}

// ExportProofs writes pages of the log with their proofs, which lead to the newest checkpoint.
func (s *Server) ExportProofs(ctx context.Context, _ admin.Actor, in admin.ProofsInput, w io.Writer) error {
	if in.Checkpoint != "" {
		return fault.New(fault.Invalid, "proofs that lead to a checkpoint of yours are made on the machine "+
			"with the database only; leave out --checkpoint")
	}
	times := auditParameters(admin.AuditQuery{Since: in.Since, Until: in.Until})
	body, err := s.open(ctx, times, "audit-logs", "proofs")
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil {
		return s.torn(ctx, err)
	}
	return nil
}

// SetupLink returns errHere: without an administrator nobody can sign in.
func (s *Server) SetupLink(context.Context, admin.Actor) (string, error) { return "", errHere }

// BackupFiles returns errHere.
func (s *Server) BackupFiles(context.Context, admin.Actor, string) ([]backup.File, error) {
	return nil, errHere
}

// errHere is the error of what needs the database. The command line stops earlier.
var errHere = fault.New(fault.Invalid, "this works only on the machine of the server; run it there without --server")

// CleanupAudit removes old events.
func (s *Server) CleanupAudit(ctx context.Context, _ admin.Actor) (int64, error) {
	var doc object
	err := s.post(ctx, &doc, nil, "audit-logs", "cleanup")
	return member[int64](doc, "removed"), err
}

// AuditCheckpoint returns the head of the tree.
func (s *Server) AuditCheckpoint(ctx context.Context, _ admin.Actor) (*admin.AuditState, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "audit-logs", "checkpoint"); err != nil {
		return nil, err
	}
	head := &audit.Head{Size: member[int64](doc, "size"), Epoch: member[int64](doc, "epoch")}
	var err error
	if head.Root, err = tlog.ParseHash(member[string](doc, "root")); err != nil {
		return nil, err
	}
	out := &admin.AuditState{Head: head, Keys: orNil(member[[]string](doc, "keys"))}
	out.Checkpoint, err = signedOf(member[string](doc, "note"), at(doc, "signed_at"))
	return out, err
}

// signedOf reads a signed checkpoint, or returns nil for "".
func signedOf(note string, at time.Time) (*admin.SignedCheckpoint, error) {
	if note == "" {
		return nil, nil
	}
	c, err := audit.ParseCheckpoint(note)
	if err != nil {
		return nil, err
	}
	return &admin.SignedCheckpoint{Checkpoint: *c, Note: note, At: at}, nil
}

// ProveEvent returns the proof that an event is in the log, after it has checked it.
func (s *Server) ProveEvent(ctx context.Context, _ admin.Actor, id string) (*admin.AuditProof, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "audit-logs", id, "proof"); err != nil {
		return nil, err
	}
	e := eventOf(member[object](doc, "event"))
	p := &audit.Proof{
		Index:   member[int64](doc, "index"),
		Pending: member[bool](doc, "pending"),
		Size:    member[int64](doc, "tree_size"),
		Page: &audit.Page{
			ID:       member[string](doc, "page_id"),
			Writer:   member[string](doc, "page_writer"),
			Seq:      member[int64](doc, "page_seq"),
			N:        member[int64](doc, "page_size"),
			Position: member[int64](doc, "position"),
		},
	}
	h := hashes{doc: doc}
	p.Row, p.Page.Root = h.one("row_hash"), h.one("page_root")
	p.InPage = h.path("page_path")
	if !p.Pending {
		p.Root, p.InTree = h.one("tree_root"), h.path("tree_path")
	}
	if h.err == nil {
		h.err = p.Check()
	}
	if h.err != nil {
		return nil, fmt.Errorf("the proof of %s does not hold: %w", s.base, h.err)
	}
	out := &admin.AuditProof{Event: &e, Proof: p}
	var err error
	out.Checkpoint, err = signedOf(member[string](doc, "note"), time.Time{})
	return out, err
}

// hashes reads hashes until one cannot be read.
type hashes struct {
	doc object
	err error
}

func (h *hashes) parse(text string) tlog.Hash {
	x, err := tlog.ParseHash(text)
	if err != nil && h.err == nil {
		h.err = err
	}
	return x
}

func (h *hashes) one(name string) tlog.Hash { return h.parse(member[string](h.doc, name)) }

func (h *hashes) path(name string) []tlog.Hash {
	var out []tlog.Hash
	for _, text := range member[[]string](h.doc, name) {
		out = append(out, h.parse(text))
	}
	return out
}

// AuditSinks returns where the audit log is delivered to.
func (s *Server) AuditSinks(ctx context.Context, _ admin.Actor) ([]audit.Sink, error) {
	var answer list[object]
	if err := s.get(ctx, &answer, nil, "audit-sinks"); err != nil {
		return nil, err
	}
	var out []audit.Sink
	for _, doc := range answer.Data {
		out = append(out, audit.Sink{
			Name:          member[string](doc, "name"),
			Active:        member[string](doc, "state") != "off",
			Position:      audit.Position{Page: member[int64](doc, "position")},
			Delivered:     member[int64](doc, "delivered"),
			Waiting:       member[int64](doc, "waiting"),
			Parked:        member[int64](doc, "parked"),
			DeliveredAt:   at(doc, "delivered_at"),
			FailingSince:  at(doc, "failing_since"),
			NextAttemptAt: at(doc, "next_attempt_at"),
			LastError:     member[string](doc, "last_error"),
		})
	}
	return out, nil
}

// AuditGaps returns what sinks do not have, as many as one page of the API has at most.
func (s *Server) AuditGaps(ctx context.Context, _ admin.Actor, q admin.GapQuery) ([]audit.Gap, error) {
	var answer list[object]
	query := parameters("sink", q.Sink, "limit", gapLimit(q.Limit))
	if err := s.get(ctx, &answer, query, "audit-sinks", "gaps"); err != nil {
		return nil, err
	}
	var out []audit.Gap
	for _, doc := range answer.Data {
		out = append(out, audit.Gap{
			ID:            member[string](doc, "id"),
			Sink:          member[string](doc, "sink"),
			Reason:        member[string](doc, "reason"),
			Parked:        member[string](doc, "state") == "parked",
			Events:        member[int64](doc, "events"),
			First:         member[string](doc, "first_event"),
			Last:          member[string](doc, "last_event"),
			Attempts:      member[int](doc, "attempts"),
			CreatedAt:     at(doc, "created_at"),
			NextAttemptAt: at(doc, "next_attempt_at"),
			Error:         member[string](doc, "error"),
		})
	}
	return out, nil
}

func resultOf(doc object) admin.LineResult {
	return admin.LineResult{
		Line:   member[int](doc, "line"),
		ID:     member[identity.UserID](doc, "id"),
		Result: member[string](doc, "result"),
		Field:  member[string](doc, "field"),
		Error:  member[string](doc, "error"),
	}
}

func summaryOf(doc object) admin.ImportSummary {
	return admin.ImportSummary{
		Lines:     member[int](doc, "lines"),
		Created:   member[int](doc, "created"),
		Unchanged: member[int](doc, "unchanged"),
		Failed:    member[int](doc, "failed"),
		Stopped:   member[bool](doc, "stopped"),
	}
}
