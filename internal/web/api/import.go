package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
)

// PathsOfFiles returns the paths that take files, which may be long.
func PathsOfFiles() []string {
	return []string{
		root + "users/import", versioned + "users/import",
		root + "clients/import", versioned + "clients/import",
	}
}

// lineAnswer is the answer to one line of an import.
type lineAnswer struct {
	Line   int    `json:"line"`
	ID     string `json:"id,omitempty"`
	Result string `json:"result"`
	Field  string `json:"field,omitempty"`
	Error  string `json:"error,omitempty"`
}

// endAnswer is the last line of the answer.
type endAnswer struct {
	End       bool `json:"end"`
	Lines     int  `json:"lines"`
	Created   int  `json:"created"`
	Unchanged int  `json:"unchanged"`
	Failed    int  `json:"failed"`
	Stopped   bool `json:"stopped"`
}

// streamed writes an answer as it comes into being.
type streamed func(w http.ResponseWriter) error

// VisitImportUsersResponse writes the answer.
func (f streamed) VisitImportUsersResponse(w http.ResponseWriter) error { return f(w) }

// VisitImportClientsResponse writes the answer.
func (f streamed) VisitImportClientsResponse(w http.ResponseWriter) error { return f(w) }

// VisitExportProofsResponse writes the answer.
func (f streamed) VisitExportProofsResponse(w http.ResponseWriter) error { return f(w) }

// VisitExportClientsResponse writes the answer.
func (f streamed) VisitExportClientsResponse(w http.ResponseWriter) error { return f(w) }

// VisitExportUsersResponse writes the answer.
func (f streamed) VisitExportUsersResponse(w http.ResponseWriter) error { return f(w) }

// stream sends what write writes. An error before the first byte is answered as usual; after it,
// the connection breaks, so that nobody takes a part for the whole.
func stream(w http.ResponseWriter, kind string, write func(io.Writer) error) error {
	out := &answerWriter{w: w, long: web.LongAnswer(w), kind: kind}
	buffered := bufio.NewWriterSize(out, 32<<10)
	err := write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil && out.begun {
		panic(http.ErrAbortHandler)
	}
	if err == nil && !out.begun {
		_, err = out.Write(nil)
	}
	return err
}

// answerWriter writes the header before the first byte.
type answerWriter struct {
	w     http.ResponseWriter
	long  io.Writer // the same
	kind  string
	begun bool
}

// Write writes a part of the answer.
func (a *answerWriter) Write(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", a.kind)
		a.w.WriteHeader(http.StatusOK)
	}
	return a.long.Write(p)
}

// typeLines is the media type of JSON lines.
const typeLines = "application/jsonl"

// ImportUsers creates the users of a file.
func (s handlers) ImportUsers(ctx context.Context, in gen.ImportUsersRequestObject) (gen.ImportUsersResponseObject, error) {
	x := exchangeOf(ctx)
	a := x.actor
	o := admin.ImportOptions{
		Format:      admin.FormatJSON,
		DryRun:      value(in.Params.DryRun),
		StopOnError: in.Params.OnError == nil || string(*in.Params.OnError) != "skip",
	}
	if in.Params.Format != nil {
		o.Format = admin.UserFormat(*in.Params.Format)
	}
	if key := in.Params.FirebaseSignerKey; key != nil {
		o.Firebase = &admin.FirebaseParameters{
			SignerKey:     *key,
			SaltSeparator: value(in.Params.FirebaseSaltSeparator),
			Rounds:        orElse(in.Params.FirebaseRounds, 8),
			MemCost:       orElse(in.Params.FirebaseMemCost, 14),
		}
	}
	return importing(ctx, x, func(long context.Context, open fileOpener, enc *json.Encoder) (admin.ImportSummary, error) {
		return s.Operations.ImportUsers(long, a, o, open, func(r admin.LineResult) error {
			return enc.Encode(lineAnswer{r.Line, string(r.ID), r.Result, r.Field, r.Error})
		})
	})
}

// clientAnswer is the answer to one client of an import.
type clientAnswer struct {
	Line   int    `json:"line"`
	ID     string `json:"client_id,omitempty"`
	Result string `json:"result"`
	Secret string `json:"client_secret,omitempty"`
	Note   string `json:"note,omitempty"`
	Field  string `json:"field,omitempty"`
	Error  string `json:"error,omitempty"`
}

// ImportClients registers the clients of a file.
func (s handlers) ImportClients(
	ctx context.Context, in gen.ImportClientsRequestObject,
) (gen.ImportClientsResponseObject, error) {
	x := exchangeOf(ctx)
	a := x.actor
	o := admin.ClientImport{Format: admin.UserFormat(in.Params.Format), DryRun: value(in.Params.DryRun)}
	return importing(ctx, x, func(long context.Context, open fileOpener, enc *json.Encoder) (admin.ImportSummary, error) {
		return s.Operations.ImportClients(long, a, o, open, func(r admin.ClientResult) error {
			return enc.Encode(clientAnswer{r.Line, string(r.ID), r.Result, r.Secret, r.Note, r.Field, r.Error})
		})
	})
}

// fileOpener returns a file from its beginning.
type fileOpener = func() (io.Reader, error)

// importing reads the file of a request and answers with what became of its lines.
func importing(
	ctx context.Context, x *exchange,
	run func(ctx context.Context, open fileOpener, enc *json.Encoder) (admin.ImportSummary, error),
) (streamed, error) {
	long, cancel := withoutDeadline(ctx)
	// The file is read before the answer begins: few callers read while they send.
	file, err := spool(web.LongBody(x.w, x.r.Body))
	if err != nil {
		cancel()
		return nil, err
	}
	return streamed(func(w http.ResponseWriter) error {
		defer cancel()
		defer file.Close()
		return stream(w, typeLines, func(out io.Writer) error {
			enc := json.NewEncoder(out)
			enc.SetEscapeHTML(false)
			open := func() (io.Reader, error) {
				_, err := file.Seek(0, io.SeekStart)
				return file, err
			}
			sum, err := run(long, open, enc)
			if err != nil {
				return err
			}
			return enc.Encode(endAnswer{true, sum.Lines, sum.Created, sum.Unchanged, sum.Failed, sum.Stopped})
		})
	}), nil
}

// orElse returns a parameter, or another value if it is not sent.
func orElse[T any](p *T, usual T) T {
	if p == nil {
		return usual
	}
	return *p
}

// spool copies a body to a file that nobody else can open and that ends when it is closed.
func spool(body io.Reader) (*os.File, error) {
	file, err := os.CreateTemp("", "gatehouse-import-")
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the file cannot be stored for the import")
	}
	_ = os.Remove(file.Name())
	if _, err := io.Copy(file, body); err != nil {
		_ = file.Close()
		return nil, readFault(err)
	}
	return file, nil
}

// withoutDeadline returns a context that ends when the caller leaves, but not with the deadline of
// ordinary requests.
func withoutDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if ctx.Err() != context.DeadlineExceeded { //nolint:errorlint // contexts return it as it is
			cancel()
		}
	})
	return long, func() { stop(); cancel() }
}

// ExportUsers writes users to a file.
func (s handlers) ExportUsers(ctx context.Context, in gen.ExportUsersRequestObject) (gen.ExportUsersResponseObject, error) {
	a := actorOf(ctx)
	o := admin.ExportOptions{
		Query:  admin.UserQuery{Search: value(in.Params.Search), Role: value(in.Params.Role)},
		Format: admin.FormatJSON,
		Hashes: value(in.Params.PasswordHashes),
	}
	if in.Params.Status != nil {
		o.Query.Status = string(*in.Params.Status)
	}
	kind, name := typeLines, "users.jsonl"
	if in.Params.Format != nil && string(*in.Params.Format) == string(admin.FormatCSV) {
		o.Format, kind, name = admin.FormatCSV, "text/csv; charset=utf-8", "users.csv"
	}
	return streamed(func(w http.ResponseWriter) error {
		long, cancel := withoutDeadline(ctx)
		defer cancel()
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		return stream(w, kind, func(out io.Writer) error {
			_, err := s.Operations.ExportUsers(long, a, o, out)
			return err
		})
	}), nil
}

// ExportClients writes clients to a file.
func (s handlers) ExportClients(
	ctx context.Context, in gen.ExportClientsRequestObject,
) (gen.ExportClientsResponseObject, error) {
	a := actorOf(ctx)
	before, err := bound("secret_expires_before", in.Params.SecretExpiresBefore, false)
	if err != nil {
		return nil, err
	}
	o := admin.ClientExport{
		Query: admin.ClientQuery{
			Search:              value(in.Params.Search),
			Type:                string(value(in.Params.Type)),
			SecretExpiresBefore: before,
		},
		Format: admin.FormatJSON,
	}
	kind, name := typeLines, "clients.jsonl"
	if in.Params.Format != nil && string(*in.Params.Format) == string(admin.FormatCSV) {
		o.Format, kind, name = admin.FormatCSV, "text/csv; charset=utf-8", "clients.csv"
	}
	return streamed(func(w http.ResponseWriter) error {
		long, cancel := withoutDeadline(ctx)
		defer cancel()
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		return stream(w, kind, func(out io.Writer) error {
			_, err := s.Operations.ExportClients(long, a, o, out)
			return err
		})
	}), nil
}
