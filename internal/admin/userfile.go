package admin

import (
	"bufio"
	"bytes"
	"encoding/base64"
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

// objectUsers reads the objects of an array that is the document, or its member users.
type objectUsers struct {
	dec  *json.Decoder
	read func(json.RawMessage) (userRecord, error)
	n    int
}

func newObjectUsers(r io.Reader, read func(json.RawMessage) (userRecord, error)) (*objectUsers, error) {
	o := &objectUsers{dec: json.NewDecoder(r), read: read}
	wrong := func(err error) error {
		return fault.New(fault.Invalid, "the file is not a JSON document with users: %v", err)
	}
	t, err := o.dec.Token()
	if err != nil {
		return nil, wrong(err)
	}
	if t == json.Delim('[') {
		return o, nil
	}
	if t != json.Delim('{') {
		return nil, wrong(errors.New("it begins with neither { nor ["))
	}
	for o.dec.More() {
		name, err := o.dec.Token()
		if err != nil {
			return nil, wrong(err)
		}
		if name == "users" {
			if t, err := o.dec.Token(); err != nil || t != json.Delim('[') {
				return nil, wrong(errors.New("users is not a list"))
			}
			return o, nil
		}
		if err := skipValue(o.dec); err != nil {
			return nil, wrong(err)
		}
	}
	return nil, wrong(errors.New("it has no member users"))
}

// skipValue reads a value of a document without storing it.
func skipValue(dec *json.Decoder) error {
	depth := 0
	for {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

func (o *objectUsers) next() (userRecord, error) {
	if !o.dec.More() {
		return userRecord{}, io.EOF
	}
	var raw json.RawMessage
	if err := o.dec.Decode(&raw); err != nil {
		return userRecord{}, fmt.Errorf("the file cannot be read behind its %d. user: %w", o.n, err)
	}
	o.n++
	rec, err := o.read(raw)
	rec.line = o.n
	return rec, err
}

// keycloakRepresentation is what an import needs of a user of Keycloak.
type keycloakRepresentation struct {
	ID               string
	Username, Email  string
	FirstName        string `json:"firstName"`
	LastName         string `json:"lastName"`
	EmailVerified    bool   `json:"emailVerified"`
	Enabled          *bool
	CreatedTimestamp int64    `json:"createdTimestamp"`
	RealmRoles       []string `json:"realmRoles"`
	RequiredActions  []string `json:"requiredActions"`
	Credentials      []struct {
		Type                       string
		CredentialData, SecretData string
	}
	ServiceAccountClientID string `json:"serviceAccountClientId"`
}

// keycloakUser reads a user representation of Keycloak.
func keycloakUser(raw json.RawMessage) (rec userRecord, err error) {
	var in keycloakRepresentation
	if err := json.Unmarshal(raw, &in); err != nil {
		return rec, fault.New(fault.Invalid, "this is not a user of Keycloak: %v", err)
	}
	if in.ServiceAccountClientID != "" {
		return rec, fault.New(fault.Invalid, "this is the service account of a client, not a person")
	}
	values := map[string]string{
		"email": in.Email, "username": in.Username, "given_name": in.FirstName, "family_name": in.LastName,
		"name": strings.TrimSpace(in.FirstName + " " + in.LastName),
	}
	if strings.Contains(in.Username, "@") { // Keycloak makes addresses user names
		delete(values, "username")
		if in.Email == "" {
			values["email"] = in.Username
		}
	}
	if in.EmailVerified {
		values["email_verified"] = "true"
	}
	if in.Enabled != nil && !*in.Enabled {
		values["disabled"] = "true"
	}
	if slices.Contains(in.RequiredActions, "UPDATE_PASSWORD") {
		values["must_change_password"] = "true"
	}
	if _, ok := secret.ParseID(strings.ToLower(in.ID)); ok {
		values[memberID] = in.ID
	}
	if err := rec.setAll(values); err != nil {
		return rec, err
	}
	if in.CreatedTimestamp > 0 {
		rec.user.CreatedAt = time.UnixMilli(in.CreatedTimestamp).UTC()
	}
	rec.user.PasswordHash, err = in.hash()
	return rec, err
}

// hash returns the stored form of the user's password, or "".
func (in *keycloakRepresentation) hash() (string, error) {
	for _, c := range in.Credentials {
		if c.Type != "password" {
			continue
		}
		hash, err := keycloakHash(c.CredentialData, c.SecretData)
		if err != nil {
			err = fault.InvalidField("credentials", "%s", fault.Text(err))
		}
		return hash, err
	}
	return "", nil
}

// setAll sets the members that have a value.
func (r *userRecord) setAll(values map[string]string) error {
	fields := identity.UserFields()
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if values[name] == "" {
			continue
		}
		if err := r.set(fields, name, values[name]); err != nil {
			return err
		}
	}
	return nil
}

// keycloakHash returns the stored form of a password of Keycloak: two JSON documents in texts.
func keycloakHash(data, secretData string) (string, error) {
	var how struct {
		HashIterations       int
		Algorithm            string
		AdditionalParameters map[string][]string
	}
	var what struct{ Value, Salt string }
	if json.Unmarshal([]byte(data), &how) != nil || json.Unmarshal([]byte(secretData), &what) != nil {
		return "", fault.InvalidField("credentials", "credentialData and secretData are JSON documents in texts")
	}
	salt, err1 := base64.StdEncoding.DecodeString(what.Salt)
	key, err2 := base64.StdEncoding.DecodeString(what.Value)
	if err1 != nil || err2 != nil {
		return "", fault.InvalidField("credentials", "the salt and the value of a password are base64")
	}
	digest, ok := strings.CutPrefix(how.Algorithm, "pbkdf2-")
	switch {
	case how.Algorithm == "pbkdf2":
		digest = "sha1"
	case how.Algorithm == "argon2":
		return keycloakArgon(how.HashIterations, how.AdditionalParameters, salt, key)
	case !ok:
		return "", fault.InvalidField("credentials", "passwords of the algorithm %q cannot be imported", how.Algorithm)
	}
	return secret.PBKDF2Hash{Digest: digest, Iterations: how.HashIterations, Salt: salt, Key: key}.Stored()
}

func keycloakArgon(passes int, p map[string][]string, salt, key []byte) (string, error) {
	value := func(name, usual string) string {
		if v := p[name]; len(v) == 1 {
			return v[0]
		}
		return usual
	}
	if value("type", "id") != "id" || value("version", "1.3") != "1.3" {
		return "", fault.InvalidField("credentials", "of argon2, passwords of argon2id, version 1.3, can be imported")
	}
	e := base64.RawStdEncoding
	stored := fmt.Sprintf("$argon2id$v=19$m=%s,t=%d,p=%s$%s$%s", value("memory", "7168"), passes,
		value("parallelism", "1"), e.EncodeToString(salt), e.EncodeToString(key))
	return stored, secret.CheckHash(stored)
}

// firebaseUser reads a user of firebase auth:export.
func firebaseUser(raw json.RawMessage, p *FirebaseParameters) (rec userRecord, err error) {
	var in struct {
		Email, DisplayName, PhotoURL, PhoneNumber, PasswordHash, Salt, CreatedAt string
		EmailVerified, Disabled                                                  bool
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return rec, fault.New(fault.Invalid, "this is not a user of Firebase: %v", err)
	}
	values := map[string]string{"email": in.Email, "name": in.DisplayName, "phone": in.PhoneNumber}
	if strings.HasPrefix(in.PhotoURL, "https://") {
		values["picture"] = in.PhotoURL
	}
	if in.EmailVerified {
		values["email_verified"] = "true"
	}
	if in.Disabled {
		values["disabled"] = "true"
	}
	if err := rec.setAll(values); err != nil {
		return rec, err
	}
	var ms int64
	if _, err := fmt.Sscan(in.CreatedAt, &ms); err == nil && ms > 0 {
		rec.user.CreatedAt = time.UnixMilli(ms).UTC()
	}
	if in.PasswordHash == "" {
		return rec, nil
	}
	rec.user.PasswordHash, err = p.hash(in.PasswordHash, in.Salt)
	return rec, err
}

// hash returns the stored form of a password of the project.
func (p *FirebaseParameters) hash(value, salt string) (string, error) {
	if p == nil {
		return "", fault.InvalidField("passwordHash",
			"the hash parameters of the project are missing: signer key, salt separator, rounds and memory cost")
	}
	h := secret.FirebaseHash{Rounds: p.Rounds, MemCost: p.MemCost}
	for _, v := range []struct {
		name, text string
		to         *[]byte
	}{
		{"passwordHash", value, &h.Key},
		{"salt", salt, &h.Salt},
		{"signer key", p.SignerKey, &h.SignerKey},
		{"salt separator", p.SaltSeparator, &h.Separator},
	} {
		// Some versions of the export use the alphabet for addresses.
		b, err := base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(v.text))
		if err != nil {
			return "", fault.InvalidField(v.name, "the %s is not base64", v.name)
		}
		*v.to = b
	}
	return h.Stored()
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
