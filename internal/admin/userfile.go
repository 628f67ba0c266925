package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// UserFormat is a form of files of accounts.
type UserFormat string

// The forms. Those of other programs are only read.
const (
	FormatJSON     UserFormat = "json" // one object a line
	FormatCSV      UserFormat = "csv"
	FormatKeycloak UserFormat = "keycloak" // a realm, or its users
	FormatFirebase UserFormat = "firebase" // auth:export --format=json
	FormatAuth0    UserFormat = "auth0"    // an export of users, or users and clients
	FormatAuthGate UserFormat = "authgate" // rows of its tables
)

// maxImportLine is the longest line or account, in bytes.
const maxImportLine = 1 << 20

// userRecord is an account as a file has it.
type userRecord struct {
	line   int
	user   identity.User
	fields []string // the names of the fields that the file names
}

// FirebaseParameters are the parameters of a project's hashes, as Firebase shows them.
type FirebaseParameters struct {
	SignerKey     string // base64
	SaltSeparator string // base64
	Rounds        int
	MemCost       int
}

// userReader reads the accounts of a file. An error of kind fault.Invalid is about one account; the
// next call goes on.
type userReader interface {
	next() (userRecord, error)
}

func newUserReader(r io.Reader, in ImportOptions) (userReader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\uFEFF" {
		_, _ = b.Discard(3)
	}
	switch in.Format {
	case FormatJSON:
		return &jsonLines{r: b}, nil
	case FormatCSV:
		return newCSVUsers(b)
	case FormatKeycloak:
		return newObjectUsers(b, func(raw json.RawMessage) (userRecord, error) { return keycloakUser(raw) })
	case FormatAuth0, FormatAuthGate:
		return newForeignUsers(b, in.Format)
	case FormatFirebase:
		return newObjectUsers(b, func(raw json.RawMessage) (userRecord, error) { return firebaseUser(raw, in.Firebase) })
	}
	return nil, fault.InvalidField("format",
		"there is no format %q; the formats are json, csv, keycloak, firebase, auth0 and authgate", in.Format)
}

// jsonLines reads one object a line.
type jsonLines struct {
	r    *bufio.Reader
	line int
}

func (j *jsonLines) next() (userRecord, error) {
	for {
		text, err := readLine(j.r)
		if err != nil && (text == nil || !errors.Is(err, io.EOF)) {
			if errors.Is(err, errLongLine) {
				j.line++
				return userRecord{line: j.line}, fault.New(fault.Invalid, "the line has more than %d bytes", maxImportLine)
			}
			return userRecord{}, err
		}
		j.line++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		rec, err := jsonUser(text)
		rec.line = j.line
		return rec, err
	}
}

var errLongLine = errors.New("a line is too long")

// readLine returns the next line, also the last one without its end. Of a line that is too long it
// reads all and returns errLongLine.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxImportLine {
			long, line = true, line[:0]
		} else if !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLongLine
		case err != nil && len(line) == 0:
			return nil, err
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		}
		return line, nil
	}
}

// Members of an account beside its fields.
const (
	memberID      = "id"
	memberCreated = "created_at"
	memberHash    = "password_hash"
	memberEnd     = "end" // of the last line of an export
)

// jsonUser reads an account of our own form.
func jsonUser(text []byte) (rec userRecord, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return rec, fault.New(fault.Invalid, "this is not a JSON object: %v", err)
	}
	if _, end := members[memberEnd]; end {
		return rec, io.EOF
	}
	fields := identity.UserFields()
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := rec.setJSON(fields, name, members[name]); err != nil {
			return rec, err
		}
	}
	return rec, nil
}

func (r *userRecord) setJSON(fields []field.Field[identity.User], name string, raw json.RawMessage) error {
	if string(raw) == "null" {
		return nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return fault.InvalidField(name, "%v", err)
	}
	switch v := v.(type) {
	case string:
		return r.set(fields, name, v)
	case bool:
		if f, ok := field.Named(fields, name); ok && f.Switch == nil {
			return fault.InvalidField(name, "%s cannot be true or false", name)
		}
		return r.set(fields, name, fmt.Sprint(v))
	case []any:
		items := make([]string, len(v))
		for i := range v {
			s, ok := v[i].(string)
			if !ok {
				return fault.InvalidField(name, "the items of %s are texts", name)
			}
			items[i] = s
		}
		if f, ok := field.Named(fields, name); !ok || f.List == nil {
			return fault.InvalidField(name, "%s is not a list", name)
		}
		return r.set(fields, name, items...)
	}
	return fault.InvalidField(name, "%s is a text, true, false or a list of texts", name)
}

// set sets a field or another member by its text.
func (r *userRecord) set(fields []field.Field[identity.User], name string, values ...string) error {
	switch name {
	case memberID:
		id := strings.ToLower(values[0])
		if _, ok := secret.ParseID(id); !ok {
			return fault.InvalidField(name, "an id is a UUID; leave it out to get a new one")
		}
		r.user.ID = identity.UserID(id)
		return nil
	case memberCreated:
		at, err := time.Parse(time.RFC3339, values[0])
		if err != nil {
			return fault.InvalidField(name, "%q is not a time; write it as 2026-11-28T13:00:00Z", values[0])
		}
		r.user.CreatedAt = at.UTC()
		return nil
	case memberHash:
		r.user.PasswordHash = values[0]
		return nil
	}
	f, ok := field.Named(fields, name)
	if !ok {
		return fault.InvalidField(name, "there is no field %q", name)
	}
	r.fields = append(r.fields, name)
	return f.Set(&r.user, values...)
}

// csvUsers reads the records of a CSV file with a header.
type csvUsers struct {
	r         *bufio.Reader
	separator byte
	line      int // of the record that was read last
	lines     int // read so far
	header    []string
}

// newCSVUsers reads the header: names of fields, in any case, separated by commas, semicolons or
// tabs.
func newCSVUsers(r *bufio.Reader) (*csvUsers, error) {
	c := &csvUsers{r: r, separator: ','}
	first, err := r.Peek(r.Size())
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	line, _, _ := bytes.Cut(first, []byte("\n"))
	for _, s := range []byte(";\t") {
		if bytes.Count(line, []byte{s}) > bytes.Count(line, []byte{c.separator}) {
			c.separator = s
		}
	}
	header, err := c.record()
	if errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "the file is empty; its first line has the names of the fields")
	}
	if err != nil {
		return nil, err
	}
	fields := identity.UserFields()
	for _, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		_, known := field.Named(fields, name)
		if !known && !slices.Contains([]string{memberID, memberCreated, memberHash}, name) {
			return nil, fault.InvalidField(name, "the header names a field %q that there is not", name)
		}
		if slices.Contains(c.header, name) {
			return nil, fault.InvalidField(name, "the header names the field %q twice", name)
		}
		c.header = append(c.header, name)
	}
	return c, nil
}

func (c *csvUsers) next() (userRecord, error) {
	cells, err := c.record()
	rec := userRecord{line: c.line}
	if err != nil {
		return rec, err
	}
	if len(cells) == 1 && cells[0] == "" {
		return c.next() // an empty line
	}
	if len(cells) != len(c.header) {
		return rec, fault.New(fault.Invalid, "the line has %d cells, the header %d", len(cells), len(c.header))
	}
	fields := identity.UserFields()
	for i, cell := range cells {
		if cell = fromCell(cell); cell == "" {
			continue
		}
		values := []string{cell}
		if f, ok := field.Named(fields, c.header[i]); ok && f.List != nil {
			values = strings.Fields(cell)
		}
		if err := rec.set(fields, c.header[i], values...); err != nil {
			return rec, err
		}
	}
	return rec, nil
}

// record reads one record of RFC 4180. Unlike encoding/csv it keeps carriage returns in cells.
func (c *csvUsers) record() ([]string, error) {
	c.line = c.lines + 1
	var cells []string
	var cell strings.Builder
	quoted, closed, size := false, false, 0
	for {
		b, err := c.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && (len(cells) > 0 || cell.Len() > 0 || closed) && !quoted {
				return append(cells, strings.TrimSuffix(cell.String(), "\r")), nil
			}
			if errors.Is(err, io.EOF) && quoted {
				return nil, fault.New(fault.Invalid, "a quote is not closed before the file ends")
			}
			return nil, err
		}
		if size++; size > maxImportLine {
			return nil, errLongRecord()
		}
		if b == '\n' {
			c.lines++
		}
		switch {
		case quoted && b == '"':
			quoted, closed = false, true
		case quoted:
			cell.WriteByte(b)
		case b == '"' && closed: // a doubled quote
			cell.WriteByte('"')
			quoted, closed = true, false
		case b == '"' && cell.Len() == 0:
			quoted = true
		case b == c.separator:
			cells = append(cells, cell.String())
			cell.Reset()
			closed = false
		case b == '\n':
			text := cell.String()
			if !closed {
				text = strings.TrimSuffix(text, "\r")
			}
			return append(cells, text), nil
		case closed && b == '\r': // before the end of the line
		default:
			cell.WriteByte(b)
		}
	}
}

func errLongRecord() error {
	return errors.New("a record of the file is too long; a quote may be missing")
}

// isFormula reports whether a spreadsheet may evaluate a cell.
func isFormula(cell string) bool {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(cell, " \u00a0\u3000"))
	return strings.ContainsRune("=+-@\t\r\n＝＋－＠", first)
}

// toCell returns a text as a cell that no spreadsheet evaluates.
func toCell(text string) string {
	if isFormula(strings.TrimLeft(text, "'")) && text != "" {
		return "'" + text
	}
	return text
}

// fromCell returns the text that toCell made a cell of.
func fromCell(cell string) string {
	if rest, ok := strings.CutPrefix(cell, "'"); ok && isFormula(strings.TrimLeft(rest, "'")) {
		return rest
	}
	return cell
}

// userWriter writes accounts.
type userWriter struct {
	w      *bufio.Writer
	format UserFormat
	hashes bool
	fields []field.Field[identity.User]
}

func newUserWriter(w io.Writer, in ExportOptions) (*userWriter, error) {
	out := &userWriter{w: bufio.NewWriterSize(w, 32<<10), format: in.Format, hashes: in.Hashes, fields: identity.UserFields()}
	switch in.Format {
	case FormatJSON:
		return out, nil
	case FormatCSV:
		cells := []string{memberID}
		for _, f := range out.fields {
			cells = append(cells, f.Name)
		}
		cells = append(cells, memberCreated)
		if in.Hashes {
			cells = append(cells, memberHash)
		}
		return out, out.record(cells)
	}
	return nil, fault.InvalidField("format", "there is no format %q; accounts are exported as json or csv", in.Format)
}

func (w *userWriter) write(u *identity.User) error {
	created := u.CreatedAt.UTC().Format(time.RFC3339Nano)
	if w.format == FormatCSV {
		cells := []string{string(u.ID)}
		for _, f := range w.fields {
			text := f.String(u)
			if f.Switch != nil && !*f.Switch(u) {
				text = ""
			}
			cells = append(cells, toCell(text))
		}
		cells = append(cells, created)
		if w.hashes {
			cells = append(cells, u.PasswordHash)
		}
		return w.record(cells)
	}
	b := append(make([]byte, 0, 512), `{"id":"`...)
	b = append(b, u.ID...)
	b = append(b, '"')
	for _, f := range w.fields {
		if f.IsZero(u) {
			continue
		}
		value, err := f.MarshalValue(u)
		if err != nil {
			return err
		}
		b = append(b, `,"`+f.Name+`":`...)
		b = append(b, value...)
	}
	b = append(b, `,"created_at":"`+created+`"`...)
	if w.hashes && u.PasswordHash != "" {
		hash, err := json.Marshal(u.PasswordHash)
		if err != nil {
			return err
		}
		b = append(append(b, `,"password_hash":`...), hash...)
	}
	_, err := w.w.Write(append(b, "}\n"...))
	return err
}

// record writes one record of RFC 4180, each cell in quotes.
func (w *userWriter) record(cells []string) error {
	for i, cell := range cells {
		if i > 0 {
			_ = w.w.WriteByte(',')
		}
		_ = w.w.WriteByte('"')
		_, _ = w.w.WriteString(strings.ReplaceAll(cell, `"`, `""`))
		_ = w.w.WriteByte('"')
	}
	_, err := w.w.WriteString("\r\n") // reports earlier errors, too
	return err
}

// end writes the last line of a file that is whole.
func (w *userWriter) end(n int) error {
	if w.format == FormatJSON {
		fmt.Fprintf(w.w, `{"end":true,"count":%d}`+"\n", n)
	}
	return w.w.Flush()
}
