package console

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// importPath is where files of users are uploaded.
const importPath = Root + "/users/import"

// PathsOfFiles returns the paths that take files, which may be long.
func PathsOfFiles() []string { return []string{importPath} }

// ImportView imports users, and clients of another server.
type ImportView struct {
	Base
	Last *Link // the import that runs, or the one before; or nil
	Same Same
}

// Page names the template.
func (*ImportView) Page() string { return "import" }

// importField bounds an input beside the file, in bytes.
const importField = 1 << 10

// importForm is an upload.
type importForm struct {
	format      admin.UserFormat
	check, skip bool
	name        string // of the file
	file        *os.File
}

func (s *Server) showImport(w http.ResponseWriter, r *http.Request, q *request) error {
	// The proof is asked for before a long file is sent, which would be lost.
	if err := errors.Join(s.mayChange(q, admin.ScopeUsersWrite), s.ops.StepUpNeeded(q.actor)); err != nil {
		return err
	}
	return s.writeImport(w, q, s.begin(r, q, "Import users"))
}

func (s *Server) writeImport(w http.ResponseWriter, q *request, b Base) error {
	b.Lead = "Create accounts from a file, with their passwords. Accounts that exist already stay as they are."
	v := &ImportView{Base: b}
	if j := s.imports.last(q.user.ID); j != nil {
		v.Last = &Link{j.name, at("/imports", j.id)}
	}
	v.Crumbs = []Link{{"Users", Root + "/users"}}
	v.Same = s.same("POST", "/api/v1/users/import?dry_run=true", nil, "user", "import", "users.jsonl", "--dry-run")
	v.Same.File = "users.jsonl"
	return s.show(w, v.status(), v)
}

// postImport reads an upload, and begins its import, which goes on after the answer.
func (s *Server) postImport(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := errors.Join(s.mayChange(q, admin.ScopeUsersWrite), s.ops.StepUpNeeded(q.actor)); err != nil {
		return err
	}
	r.Body = web.LongBody(w, r.Body)
	f, err := readImport(r)
	var j *importJob
	if err == nil {
		if j, err = s.imports.begin(s.ops, q, f); err != nil {
			_ = f.file.Close()
		}
	}
	if err != nil {
		b := s.begin(r, q, "Import users")
		if err := retry(&b, q, err); err != nil {
			return err
		}
		return s.writeImport(w, q, b)
	}
	return seeOther(w, r, at("/imports", j.id))
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
	f.file, f.name = file, part.FileName()
	if _, err := io.Copy(file, part); err != nil {
		return fault.Wrap(fault.Invalid, err, "The upload broke off, or the file is too large. Send it again.")
	}
	return nil
}
