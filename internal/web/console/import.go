package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// importPath is where files of users are uploaded.
const importPath = Root + "/users/import"

// PathsOfFiles returns the paths that take files, which may be long.
func PathsOfFiles() []string { return []string{importPath} }

// ImportView imports users, and clients of another server.
type ImportView struct {
	Base
	Form bool
	Here string // where the progress is written; or ""
	Same Same
}

// Page names the template.
func (*ImportView) Page() string { return "import" }

// Bounds of an import page.
const (
	importErrors = 100              // lines with errors that the page lists
	importStep   = 5000             // lines between two lines of progress
	importField  = 1 << 10          // bytes of an input beside the file
	importStall  = 10 * time.Minute // without a line of progress
)

// importForm is an upload.
type importForm struct {
	format      admin.UserFormat
	check, skip bool
	file        *os.File
}

func (s *Server) showImport(w http.ResponseWriter, r *http.Request, q *request) error {
	// The proof is asked for before a long file is sent, which would be lost.
	if err := errors.Join(s.mayChange(q, admin.ScopeUsersWrite), s.ops.StepUpNeeded(q.actor)); err != nil {
		return err
	}
	return s.writeImport(w, s.begin(r, q, "Import users"))
}

func (s *Server) writeImport(w http.ResponseWriter, b Base) error {
	b.Lead = "Create accounts from a file, with their passwords. Accounts that exist already stay as they are."
	v := &ImportView{Base: b, Form: true}
	v.Crumbs = []Link{{"Users", Root + "/users"}}
	v.Same = s.same("", "", nil, "user", "import", "users.jsonl", "--dry-run")
	return s.show(w, v.status(), v)
}

// postImport reads an upload and shows what becomes of its lines while it goes on. A person who
// leaves the page ends the import; it can be repeated.
func (s *Server) postImport(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := errors.Join(s.mayChange(q, admin.ScopeUsersWrite), s.ops.StepUpNeeded(q.actor)); err != nil {
		return err
	}
	f, err := readImport(r)
	if err != nil {
		b := s.begin(r, q, "Import users")
		if err := retry(&b, q, err); err != nil {
			return err
		}
		return s.writeImport(w, b)
	}
	defer f.file.Close()
	v := &ImportView{Base: s.begin(r, q, "Import users"), Here: secret.NewToken("")}
	v.Crumbs = []Link{{"Users", Root + "/users"}, {"Import", importPath}}
	before, after, err := s.split(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // nginx sends each line of progress at once
	setPolicy(h)
	p := &importProgress{w: w, control: http.NewResponseController(w), check: f.check}
	p.write(string(before))
	if err := s.runImport(persistent(r), q.actor, f, p); err != nil {
		p.line("bad", "The import has ended: "+sentence(importError(err)))
	}
	p.finish()
	p.write(string(after))
	return nil
}

// importError returns an error in words.
func importError(err error) string {
	if text := fault.Text(err); text != "" {
		return text
	}
	return "an error of the server. What is stored already stays; import the file again later"
}

// split renders a page and returns the parts before and after its mark.
func (s *Server) split(v *ImportView) (before, after []byte, err error) {
	body, err := s.pages.render(v)
	if err != nil {
		return nil, nil, err
	}
	before, after, ok := bytes.Cut(body, []byte(v.Here))
	if !ok {
		return nil, nil, errors.New("the page of imports has no place for the progress")
	}
	return before, after, nil
}

// runImport imports users and then clients.
func (s *Server) runImport(ctx context.Context, a admin.Actor, f *importForm, p *importProgress) error {
	open := func() (io.Reader, error) {
		_, err := f.file.Seek(0, io.SeekStart)
		return f.file, err
	}
	in := admin.ImportOptions{Format: f.format, DryRun: f.check, StopOnError: !f.skip}
	sum, err := s.ops.ImportUsers(ctx, a, in, open, func(r admin.LineResult) error {
		return p.result(r.Line, r.Result, r.Error)
	})
	if err != nil {
		return err
	}
	p.sum("users", sum)
	if sum.Stopped || f.format != admin.FormatAuth0 && f.format != admin.FormatAuthGate && f.format != admin.FormatKeycloak {
		return nil
	}
	if !a.Can(admin.ScopeClientsWrite) {
		p.line("plain", "Clients of the file were left out: your roles do not allow to change clients.")
		return nil
	}
	clients := admin.ClientImport{Format: f.format, DryRun: f.check}
	sum, err = s.ops.ImportClients(ctx, a, clients, open, func(r admin.ClientResult) error {
		if r.Secret != "" {
			p.secret(string(r.ID), r.Secret)
		}
		if r.Note != "" {
			p.line("plain", "Client "+string(r.ID)+": "+sentence(r.Note))
		}
		return p.result(r.Line, r.Result, r.Error)
	})
	if err == nil && sum.Lines > 0 {
		p.sum("clients", sum)
	}
	return err
}

// importProgress writes what becomes of lines.
type importProgress struct {
	w       io.Writer
	control *http.ResponseController
	check   bool
	lines   int
	errors  int
	failed  error // of the connection
}

func (p *importProgress) write(text string) {
	if p.failed != nil {
		return
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(importStall)) // not every writer has one
	if _, p.failed = io.WriteString(p.w, text); p.failed == nil {
		_ = p.control.Flush()
	}
}

func (p *importProgress) line(tone, text string) {
	p.write(`<li class="` + tone + `">` + template.HTMLEscapeString(text) + "</li>\n")
}

// secret shows a new secret of a client, which nobody can see again.
func (p *importProgress) secret(id, text string) {
	p.write(`<li class="plain">New secret of <bdi>` + template.HTMLEscapeString(id) + `</bdi>, shown this once: <code>` +
		template.HTMLEscapeString(text) + "</code></li>\n")
}

// result counts a line, and names it if it is wrong. It returns an error if the person has left.
func (p *importProgress) result(line int, result, text string) error {
	if result == admin.ImportError {
		if p.errors++; p.errors <= importErrors {
			p.line("bad", fmt.Sprintf("Line %s: %s", grouped(line), sentence(text)))
		}
	}
	if p.lines++; p.lines%importStep == 0 {
		p.line("plain", count(p.lines, "line")+" so far, "+count(p.errors, "error")+".")
	}
	return p.failed
}

func (p *importProgress) sum(what string, sum admin.ImportSummary) {
	verb := "created"
	if p.check {
		verb = "would be created"
	}
	if sum.Created == 1 {
		what = strings.TrimSuffix(what, "s")
	}
	text := fmt.Sprintf("%s %s: %s, %s are here already, %s wrong.", grouped(sum.Created), what, verb,
		grouped(sum.Unchanged), grouped(sum.Failed))
	tone := "good"
	if sum.Stopped {
		tone, text = "bad", "Nothing was stored, since the file has wrong lines. Correct them, or leave them out."
	}
	p.line(tone, strings.Replace(text, " "+what+":", " "+what, 1))
}

func (p *importProgress) finish() {
	if p.errors > importErrors {
		p.line("bad", "and "+grouped(p.errors-importErrors)+" further wrong lines.")
	}
}

// readImport reads an upload. The file is copied to one that nobody else can open.
func readImport(r *http.Request) (f *importForm, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, fault.New(fault.Invalid, "The form has no file. Open the page again.")
	}
	f = &importForm{}
	defer func() {
		if err != nil && f.file != nil {
			_ = f.file.Close()
		}
	}()
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f, fault.Wrap(fault.Invalid, err, "The upload broke off. Send the file again.")
		}
		if err := f.part(part); err != nil {
			return f, err
		}
	}
	if f.file == nil {
		return f, fault.InvalidField("file", "choose a file")
	}
	return f, nil
}

// part reads one input.
func (f *importForm) part(part *multipart.Part) error {
	if part.FormName() != "file" {
		value, err := io.ReadAll(io.LimitReader(part, importField))
		switch {
		case err != nil:
			return fault.Wrap(fault.Invalid, err, "The upload broke off. Send the file again.")
		case part.FormName() == "format":
			f.format = admin.UserFormat(value)
		case part.FormName() == "check":
			f.check = true
		case part.FormName() == "skip":
			f.skip = true
		}
		return nil
	}
	if part.FileName() == "" || f.file != nil {
		return fault.InvalidField("file", "choose one file")
	}
	if f.format == "" {
		f.format = admin.FormatJSON
		if strings.HasSuffix(strings.ToLower(part.FileName()), ".csv") {
			f.format = admin.FormatCSV
		}
	}
	file, err := os.CreateTemp("", "gatehouse-import-")
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the file cannot be stored for the import")
	}
	_ = os.Remove(file.Name()) // it stays until it is closed
	f.file = file
	if _, err := io.Copy(file, part); err != nil {
		return fault.Wrap(fault.Invalid, err, "The upload broke off, or the file is too large. Send it again.")
	}
	return nil
}
