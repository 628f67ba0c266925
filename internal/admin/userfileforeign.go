package admin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

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
