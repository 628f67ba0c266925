package console

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/spreadsheet"
)

// Bounds of imports.
const (
	maxImports     = 8      // that the server remembers
	maxImportLines = 10_000 // refused lines that it remembers of each
	importListed   = 100    // refused lines that the page lists
	importRefresh  = 2      // seconds between two looks at an import that runs

	importSecrets = 15 * time.Minute // after the end of an import, in which its page shows new secrets
)

// States of imports.
const (
	importRunning = "running"
	importDone    = "done"
	importStopped = "stopped"
	importFailed  = "failed"
)

// imports are the imports of this process: one runs at a time. Their files have no name on disk, so
// that nothing is left of them when the process ends.
type imports struct {
	mu   sync.Mutex
	jobs []*importJob // oldest first
}

// importJob is one import, which goes on when the person leaves its page.
type importJob struct {
	id, name string
	user     identity.UserID // who began it; nobody else sees or stops it
	check    bool
	begun    time.Time
	cancel   context.CancelFunc

	mu      sync.Mutex
	state   string
	lines   int
	failed  int
	refused []refusedLine
	sums    []string
	notes   []string
	secrets []Pair // new secrets of clients
	problem string // why it ended early
}

// refusedLine is a line that was not stored.
type refusedLine struct {
	line int
	text string
}

// begin begins an import. It returns fault.Conflict while another one runs.
func (m *imports) begin(ops *admin.Operations, q *request, f *importForm) (*importJob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		if j.now().state == importRunning {
			return nil, fault.New(fault.Conflict, "Another import runs on this server. Wait until it ends.")
		}
	}
	if len(m.jobs) == maxImports {
		m.jobs = m.jobs[1:]
	}
	// The request ends before the import does.
	ctx, cancel := context.WithCancel(context.Background())
	j := &importJob{
		id: secret.NewID(q.now), name: f.name, user: q.user.ID, check: f.check, begun: q.now,
		cancel: cancel, state: importRunning,
	}
	m.jobs = append(m.jobs, j)
	go j.run(ctx, ops, q.actor, f)
	return j, nil
}

// find returns an import of a person, or fault.NotFound.
func (m *imports) find(id string, user identity.UserID) (*importJob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		if j.id == id && j.user == user {
			return j, nil
		}
	}
	return nil, fault.New(fault.NotFound, "This server no longer knows the import: it has ended, with the server "+
		"that ran it or because newer ones followed. What it stored stays. Import the file again to store the "+
		"rest; accounts that exist stay as they are.")
}

// last returns the newest import of a person, or nil.
func (m *imports) last(user identity.UserID) *importJob {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range slices.Backward(m.jobs) {
		if j.user == user {
			return j
		}
	}
	return nil
}

// importState is how far an import is.
type importState struct {
	state         string
	lines, failed int
	refused       []refusedLine
	sums, notes   []string
	secrets       []Pair
	problem       string
}

// now returns how far the import is.
func (j *importJob) now() importState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return importState{j.state, j.lines, j.failed, j.refused, j.sums, j.notes, j.secrets, j.problem}
}

// run carries out the import, and closes its file.
func (j *importJob) run(ctx context.Context, ops *admin.Operations, a admin.Actor, f *importForm) {
	defer j.cancel()
	defer f.file.Close()
	var err error
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		j.end(ctx, err)
	}()
	err = j.importAll(ctx, ops, a, f)
}

// end marks the import as ended. Its new secrets are forgotten a little later.
func (j *importJob) end(ctx context.Context, err error) {
	time.AfterFunc(importSecrets, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.secrets = nil
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err == nil:
		j.state = importDone
	case ctx.Err() != nil:
		j.state = importStopped
		j.problem = "The import was stopped. What it has stored stays."
	default:
		j.state = importFailed
		j.problem = "The import has ended: an error of the server. What it has stored stays; import the file again later."
		if text := fault.Text(err); text != "" {
			j.problem = "The import has ended: " + sentence(text)
		}
	}
}

// importAll imports users and then clients.
func (j *importJob) importAll(ctx context.Context, ops *admin.Operations, a admin.Actor, f *importForm) error {
	open := func() (io.Reader, error) {
		_, err := f.file.Seek(0, io.SeekStart)
		return f.file, err
	}
	in := admin.ImportOptions{Format: f.format, DryRun: f.check, StopOnError: !f.skip}
	sum, err := ops.ImportUsers(ctx, a, in, open, func(r admin.LineResult) error {
		return j.result(ctx, r.Line, r.Result, r.Error)
	})
	if err != nil {
		return err
	}
	j.sum("user", sum)
	if sum.Stopped || f.format != admin.FormatAuth0 && f.format != admin.FormatAuthGate && f.format != admin.FormatKeycloak {
		return nil
	}
	if !a.Can(admin.ScopeClientsWrite) {
		j.note("Clients of the file were left out: your roles do not allow to change clients.")
		return nil
	}
	clients := admin.ClientImport{Format: f.format, DryRun: f.check}
	sum, err = ops.ImportClients(ctx, a, clients, open, func(r admin.ClientResult) error {
		if r.Secret != "" {
			j.mu.Lock()
			j.secrets = append(j.secrets, Pair{string(r.ID), r.Secret})
			j.mu.Unlock()
		}
		if r.Note != "" {
			j.note("Client " + string(r.ID) + ": " + sentence(r.Note))
		}
		return j.result(ctx, r.Line, r.Result, r.Error)
	})
	if err == nil && sum.Lines > 0 {
		j.sum("client", sum)
	}
	return err
}

// result counts a line, and remembers it if it was refused.
func (j *importJob) result(ctx context.Context, line int, result, text string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines++
	if result == admin.ImportError {
		if j.failed++; len(j.refused) < maxImportLines {
			j.refused = append(j.refused, refusedLine{line, sentence(text)})
		}
	}
	return ctx.Err()
}

func (j *importJob) note(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.notes) < importListed {
		j.notes = append(j.notes, text)
	}
}

// sum adds what has become of one kind of thing.
func (j *importJob) sum(noun string, sum admin.ImportSummary) {
	text := count(sum.Created, noun) + " created"
	if j.check {
		text = count(sum.Created, noun) + " would be created"
	}
	text += ", " + grouped(sum.Unchanged) + " here already, " + grouped(sum.Failed) + " refused."
	j.mu.Lock()
	defer j.mu.Unlock()
	if sum.Stopped {
		j.problem = "Nothing was stored, since the file has wrong lines. Correct them, or leave them out."
		return
	}
	j.sums = append(j.sums, text)
}

// ImportJobView shows how far an import is, and what became of it.
type ImportJobView struct {
	Base
	Facts   []Fact
	Notes   []string
	Secrets []Pair  // new secrets of clients, for the person who imports
	Refused Table   // the first ones
	File    *Link   // all refused lines with the reasons; or nil
	Stop    *Button // while it runs, or nil
	Again   string  // address that shows how far it is now, while it runs
}

// Page names the template.
func (*ImportJobView) Page() string { return "importjob" }

func (s *Server) loadImport(r *http.Request, q *request) (*importJob, error) {
	if err := s.mayChange(q, admin.ScopeUsersWrite); err != nil {
		return nil, err
	}
	return s.imports.find(r.PathValue("import"), q.user.ID)
}

func (s *Server) showImportJob(w http.ResponseWriter, r *http.Request, q *request) error {
	j, err := s.loadImport(r, q)
	if err != nil {
		return err
	}
	x, here := j.now(), at("/imports", j.id)
	v := &ImportJobView{Base: s.begin(r, q, "Import of "+j.name)}
	v.Crumbs = []Link{{"Users", Root + "/users"}, {"Import", importPath}}
	if j.check {
		v.Lead = "A check: nothing is stored."
	}
	state := badgeCell("good", "Done")
	switch x.state {
	case importRunning:
		state = badgeCell("warn", "Running")
		v.Again, v.Refresh = here, importRefresh
		v.Stop = &Button{Text: "Stop", Danger: true, Action: here + "/stop"}
	case importStopped:
		state = badgeCell("plain", "Stopped")
	case importFailed:
		state = badgeCell("bad", "Failed")
	}
	v.Facts = []Fact{
		{Name: "State", Cell: state},
		{Name: "Lines", Cell: textCell(grouped(x.lines))},
		{Name: "Refused", Cell: textCell(grouped(x.failed))},
		{Name: "Began", Cell: v.timeCell(j.begun, "")},
	}
	for _, text := range x.sums {
		v.Facts = append(v.Facts, Fact{Name: "Result", Cell: textCell(text)})
	}
	v.Problem, v.Notes = x.problem, x.notes
	if q.actor.Can(admin.ScopeClientsWrite) && s.ops.StepUpNeeded(q.actor) == nil {
		v.Secrets = x.secrets
	}
	v.Refused = Table{Caption: "Refused lines", Columns: []Column{{Name: "Line", Num: true}, {Name: "Why"}}}
	for _, l := range x.refused[:min(len(x.refused), importListed)] {
		v.Refused.Rows = append(v.Refused.Rows, Row{ID: strconv.Itoa(l.line), Cells: []Cell{
			textCell(grouped(l.line)), textCell(l.text),
		}})
	}
	if len(x.refused) > 0 {
		v.File = &Link{"Download the refused lines (CSV)", here + "/refused"}
	}
	return s.show(w, http.StatusOK, v)
}

// exportRefused sends the numbers of the refused lines with the reasons.
func (s *Server) exportRefused(w http.ResponseWriter, r *http.Request, q *request) error {
	j, err := s.loadImport(r, q)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(newDownload(w, "refused.csv", "text/csv; charset=utf-8"))
	err = spreadsheet.WriteRow(out, "line", "error")
	for _, l := range j.now().refused {
		if err == nil {
			err = spreadsheet.WriteRow(out, strconv.Itoa(l.line), l.text)
		}
	}
	if err == nil {
		err = out.Flush()
	}
	return err
}

func (s *Server) postStopImport(w http.ResponseWriter, r *http.Request, q *request) error {
	j, err := s.loadImport(r, q)
	if err != nil {
		return err
	}
	j.cancel()
	return seeOther(w, r, at("/imports", j.id))
}
