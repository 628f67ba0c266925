package admin

import (
	"bufio"
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func invalidFile(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

// foreignUsers reads the people of an export that may have clients as well.
type foreignUsers struct {
	r        *objectReader
	isClient func(json.RawMessage) bool
	read     func(json.RawMessage) (userRecord, error)
}

func newForeignUsers(b *bufio.Reader, f UserFormat) (*foreignUsers, error) {
	r, err := newObjectReader(b, "users")
	out := &foreignUsers{r: r, isClient: namesClient, read: auth0User}
	if f == FormatAuthGate {
		out.read = authGateUser
	}
	return out, err
}

// namesClient reports whether an object is a client.
func namesClient(raw json.RawMessage) bool {
	var in struct {
		ClientID *string `json:"client_id"`
	}
	return json.Unmarshal(raw, &in) == nil && in.ClientID != nil
}

func (f *foreignUsers) next() (userRecord, error) {
	for {
		raw, n, err := f.r.next()
		if err != nil {
			return userRecord{line: n}, err
		}
		if f.isClient(raw) {
			continue
		}
		rec, err := f.read(raw)
		rec.line = n
		return rec, err
	}
}

// auth0Representation is what an import needs of a user of Auth0: an export job, the management
// API, or the file with hashes of passwords that Auth0's support sends.
type auth0Representation struct {
	Email         string
	EmailVerified looseBool `json:"email_verified"`
	Username      string
	Name          string
	GivenName     string `json:"given_name"`
	FamilyName    string `json:"family_name"`
	Nickname      string
	Picture       string
	Phone         string    `json:"phone_number"`
	PhoneVerified looseBool `json:"phone_verified"`
	Blocked       looseBool
	CreatedAt     json.RawMessage `json:"created_at"`
	Hash          string          `json:"passwordHash"`
	Hash2         string          `json:"password_hash"`
	Custom        *struct {
		Algorithm string
		Hash      struct{ Value, Encoding string }
	} `json:"custom_password_hash"`
}

// auth0User reads a user of Auth0.
func auth0User(raw json.RawMessage) (rec userRecord, err error) {
	var in auth0Representation
	if err := json.Unmarshal(raw, &in); err != nil {
		return rec, invalidFile("this is not a user of Auth0: %v", err)
	}
	values := map[string]string{
		"email": in.Email, "username": in.Username, "given_name": in.GivenName,
		"family_name": in.FamilyName, "nickname": in.Nickname, "phone": in.Phone,
	}
	if in.Name != in.Email { // Auth0 calls people by their address while it knows no name
		values["name"] = in.Name
	}
	if strings.HasPrefix(in.Picture, "https://") {
		values["picture"] = in.Picture
	}
	setTrue(values, "email_verified", bool(in.EmailVerified))
	setTrue(values, "phone_verified", bool(in.PhoneVerified) && in.Phone != "")
	setTrue(values, "disabled", bool(in.Blocked))
	if err := rec.setAll(values); err != nil {
		return rec, err
	}
	rec.user.CreatedAt = foreignTime(in.CreatedAt)
	hash := in.Hash
	if hash == "" {
		hash = in.Hash2
	}
	if hash == "" && in.Custom != nil {
		if e := in.Custom.Hash.Encoding; e != "" && e != "utf8" || !strings.HasPrefix(in.Custom.Hash.Value, "$") {
			return rec, fault.InvalidField("custom_password_hash",
				"of own hashes, those in the text form of bcrypt, argon2, scrypt or PBKDF2 can be imported")
		}
		hash = in.Custom.Hash.Value
	}
	return rec, rec.setHash(hash)
}

// authGateUser reads a row of the table users of AuthGate.
func authGateUser(raw json.RawMessage) (rec userRecord, err error) {
	var in struct {
		ID, Username, Email string
		PasswordHash        string          `json:"password_hash"`
		Role                string          `json:"role"`
		FullName            string          `json:"full_name"`
		AvatarURL           string          `json:"avatar_url"`
		IsActive            *looseBool      `json:"is_active"`
		EmailVerified       looseBool       `json:"email_verified"`
		AuthSource          string          `json:"auth_source"`
		Created             json.RawMessage `json:"created_at"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return rec, invalidFile("this is not a user of AuthGate: %v", err)
	}
	values := map[string]string{"email": in.Email, "username": in.Username, "name": in.FullName}
	if strings.Contains(in.Username, "@") {
		delete(values, "username")
	}
	if strings.HasPrefix(in.AvatarURL, "https://") {
		values["picture"] = in.AvatarURL
	}
	if in.Role != "" && in.Role != "user" {
		values["roles"] = in.Role
	}
	setTrue(values, "email_verified", bool(in.EmailVerified))
	setTrue(values, "disabled", in.IsActive != nil && !bool(*in.IsActive))
	if _, ok := secret.ParseID(strings.ToLower(in.ID)); ok {
		values[memberID] = in.ID
	}
	if err := rec.setAll(values); err != nil {
		return rec, err
	}
	rec.user.CreatedAt = foreignTime(in.Created)
	if in.AuthSource != "" && in.AuthSource != "local" {
		return rec, nil // another server checks the password
	}
	return rec, rec.setHash(in.PasswordHash)
}

// setHash sets the hash of a password, if there is one.
func (r *userRecord) setHash(hash string) error {
	if hash == "" {
		return nil
	}
	r.user.PasswordHash = hash
	if err := secret.CheckHash(hash); err != nil {
		return fault.InvalidField("password_hash", "%s", fault.Text(err))
	}
	return nil
}

func setTrue(values map[string]string, name string, v bool) {
	if v {
		values[name] = "true"
	}
}

// foreignTime reads a time as exports and databases write it; without one it is the zero time.
func foreignTime(raw json.RawMessage) time.Time {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return time.Time{}
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02 15:04:05.999999999-07:00", "2006-01-02 15:04:05.999999999",
		"2006-01-02T15:04:05.999999999",
	} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}
