package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// userLock keeps an account from signing in.
type userLock struct {
	userRef
	Reason string `required:"" placeholder:"TEXT" help:"Why, for other administrators."`
}

// Run locks the account.
func (f *userLock) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.LockUser(ctx, a, f.Ref, f.Reason)
		return c.userDone(u, "locked", err)
	})
}

// firebaseFlags are the hash parameters of a Firebase project.
type firebaseFlags struct {
	SignerKeyFile string `placeholder:"FILE" help:"The file with the base64_signer_key of a Firebase project."`
	SaltSeparator string `placeholder:"BASE64" help:"The base64_salt_separator of a Firebase project."`
	Rounds        int    `default:"8" help:"The rounds of a Firebase project."`
	MemCost       int    `default:"14" help:"The mem_cost of a Firebase project."`
}

// parameters returns the parameters, or nil without a key.
func (f firebaseFlags) parameters() (*admin.FirebaseParameters, error) {
	if f.SignerKeyFile == "" {
		return nil, nil
	}
	key, err := os.ReadFile(f.SignerKeyFile)
	if err != nil {
		return nil, err
	}
	return &admin.FirebaseParameters{
		SignerKey:     strings.TrimSpace(string(key)),
		SaltSeparator: f.SaltSeparator,
		Rounds:        f.Rounds,
		MemCost:       f.MemCost,
	}, nil
}

// userImport creates the accounts of a file.
type userImport struct {
	File    string `arg:"" help:"The file, or - for stdin."`
	Format  string `placeholder:"FORMAT" help:"json (an object a line), csv, keycloak or firebase. Default: by the name of the file."`
	DryRun  bool   `help:"Check every line and store nothing."`
	OnError string `enum:"stop,skip" default:"stop" help:"stop stores nothing unless the whole file is right; skip leaves wrong lines out."`
	Results string `placeholder:"FILE" help:"Write what became of each line to this file, as JSON lines."`
	firebaseFlags
}

// lineView is what became of one line.
type lineView struct {
	Line   int             `json:"line"`
	ID     identity.UserID `json:"id,omitempty"`
	Result string          `json:"result"`
	Field  string          `json:"field,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// importView is the sum of an import.
type importView struct {
	Lines     int  `json:"lines"`
	Created   int  `json:"created"`
	Unchanged int  `json:"unchanged"`
	Failed    int  `json:"failed"`
	Stopped   bool `json:"stopped"`
}

// formatOf returns the format of a file by its name.
func formatOf(name, format string) admin.UserFormat {
	switch {
	case format != "":
		return admin.UserFormat(format)
	case strings.EqualFold(filepath.Ext(name), ".csv"):
		return admin.FormatCSV
	}
	return admin.FormatJSON
}

// Run imports the file.
func (f *userImport) Run(ctx context.Context, c *call) (err error) {
	in := admin.ImportOptions{
		Format:      formatOf(f.File, f.Format),
		DryRun:      f.DryRun,
		StopOnError: f.OnError == "stop",
	}
	if in.Firebase, err = f.parameters(); err != nil {
		return err
	}
	open, done, err := c.reopened(f.File)
	if err != nil {
		return err
	}
	defer done()
	report, finish, err := c.lineReport(f.Results)
	if err != nil {
		return err
	}
	var sum admin.ImportSummary
	err = c.manage(ctx, func(ops operations, a admin.Actor) error {
		sum, err = ops.ImportUsers(ctx, a, in, open, report)
		return err
	})
	if e := finish(); err == nil {
		err = e
	}
	if err != nil {
		return explainQuery(err)
	}
	view := importView{sum.Lines, sum.Created, sum.Unchanged, sum.Failed, sum.Stopped}
	err = c.show(view, func(s *table) {
		s.pair("lines", fmt.Sprint(sum.Lines))
		s.pair("created", fmt.Sprint(sum.Created))
		s.pair("unchanged", fmt.Sprint(sum.Unchanged))
		s.pair("failed", fmt.Sprint(sum.Failed))
	})
	switch {
	case err != nil:
		return err
	case sum.Stopped:
		return fmt.Errorf("nothing was stored, because the file has lines with errors; correct them, or leave them out with --on-error=skip")
	case sum.Failed > 0:
		return fmt.Errorf("%d lines were not stored", sum.Failed)
	}
	return nil
}

// reopened returns a function that returns a file from its beginning each time. Stdin is copied to
// a file that nobody else can open.
func (c *call) reopened(name string) (open func() (io.Reader, error), done func(), err error) {
	var file *os.File
	if name == "-" {
		if file, err = os.CreateTemp("", "gatehouse-import-"); err != nil {
			return nil, nil, err
		}
		_ = os.Remove(file.Name()) // the file stays until it is closed
		_, err = io.Copy(file, c.stdin)
	} else {
		file, err = os.Open(name)
	}
	if err != nil {
		return nil, nil, err
	}
	open = func() (io.Reader, error) {
		_, err := file.Seek(0, io.SeekStart)
		return file, err
	}
	return open, func() { _ = file.Close() }, nil
}

// lineReport returns where the results of lines go: to a file, and the first errors to stderr.
func (c *call) lineReport(name string) (report func(admin.LineResult) error, finish func() error, err error) {
	const shown = 20
	errors, finish := 0, func() error { return nil }
	var out *bufio.Writer
	if name != "" {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, err
		}
		out = bufio.NewWriter(file)
		finish = func() error {
			err := out.Flush()
			if e := file.Close(); err == nil {
				err = e
			}
			return err
		}
	}
	return func(r admin.LineResult) error {
		if r.Result == admin.ImportError {
			if errors++; errors <= shown {
				c.note("line %d: %s", r.Line, printable(r.Error))
			}
		}
		if out == nil {
			return nil
		}
		return encode(out, lineView{r.Line, r.ID, r.Result, r.Field, r.Error}, "")
	}, finish, nil
}

// userExport writes accounts.
type userExport struct {
	File           string `arg:"" optional:"" default:"-" help:"The file, or - for stdout. It must not exist."`
	Format         string `placeholder:"FORMAT" help:"json (an object a line) or csv. Default: by the name of the file."`
	PasswordHashes bool   `help:"With the hashes of passwords."`
	Search         string `help:"Only accounts with words in username, address or name that begin like this."`
	Status         string `placeholder:"STATUS" help:"Only active, locked or disabled accounts."`
	Role           string `placeholder:"ROLE" help:"Only accounts with this role."`
}

// Run exports the accounts.
func (f *userExport) Run(ctx context.Context, c *call) error {
	in := admin.ExportOptions{
		Query:  admin.UserQuery{Search: f.Search, Status: f.Status, Role: f.Role},
		Format: formatOf(f.File, f.Format),
		Hashes: f.PasswordHashes,
	}
	n := 0
	err := c.exportTo(f.File, func(out io.Writer) error {
		return c.manage(ctx, func(ops operations, a admin.Actor) (err error) {
			n, err = ops.ExportUsers(ctx, a, in, out)
			return err
		})
	})
	if err != nil {
		return explainQuery(err)
	}
	if f.File == "-" {
		return nil // stdout has the accounts
	}
	what := "accounts are"
	if n == 1 {
		what = "account is"
	}
	return c.done(object{{"result", "exported"}, {"users", n}}, "%d %s in %s.", n, what, f.File)
}

// exportTo calls write with a new file of that name, or with stdout for "-".
func (c *call) exportTo(name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(c.stdout)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("the file %s exists already; choose another name", name)
	}
	if err != nil {
		return err
	}
	err = write(file)
	return errors.Join(err, file.Close())
}
