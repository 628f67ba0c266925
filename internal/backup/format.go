// Package backup reads and writes backup files, and decides which of them may be deleted. One
// format serves both database engines.
//
// A file is
//
//	gatehouse-backup 1        the format
//	{…}                       one line of JSON: the Header
//	…                         records, compressed by Zstandard (RFC 8878), and encrypted by age if
//	                          the header says so
//	end …                     one line of fixed length: the length and SHA-256 of all before it, and
//	                          an HMAC of that hash by a key that derives from SECRET_KEY
//
// The end proves that a file is complete, without a key; the HMAC proves that a server with the
// same SECRET_KEY wrote it. The records repeat the hash of the header, so that an encrypted file
// vouches for its header, too.
package backup

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	magic     = "gatehouse-backup 1\n"
	maxHeader = 64 << 10
	// footerSize is the length of the last line, with the line break before it.
	footerSize = len("\nend ") + 20 + 1 + 64 + 1 + 64 + 1

	// MaxRow bounds a row in bytes: a reader rejects a longer one rather than make room for it.
	MaxRow = 64 << 20

	// Bounds of the rest of a file, which is read before anything proves who wrote it.
	maxRecord  = 1 << 20 // bytes of a record other than a row
	maxTables  = 1000
	maxColumns = 1000
	maxName    = 128 // bytes of the name of a table or column
)

// Reasons of errors.
const (
	ReasonDamaged  = "backup_damaged"   // the file was cut or altered
	ReasonOtherKey = "other_master_key" // the file belongs to another SECRET_KEY
	ReasonLocked   = "backup_locked"    // the file is encrypted, and no identity opens it
)

// A Header says what a backup file is. It is readable without any key, so it holds nothing secret.
type Header struct {
	ID        string      `json:"id"`
	MadeAt    time.Time   `json:"made_at"`
	Program   string      `json:"program"`   // the version that made it
	Engine    string      `json:"engine"`    // sqlite or postgres: where the rows came from
	Database  string      `json:"database"`  // identity of the database
	Log       string      `json:"log"`       // identity of its revocation log
	Key       string      `json:"key"`       // fingerprint of SECRET_KEY
	Schema    []Migration `json:"schema"`    // applied migrations, in order
	Encrypted bool        `json:"encrypted"` // by age
}

// A Migration is one step of the schema, with the checksum of its text.
type Migration struct {
	Name     string `json:"name"`
	Checksum string `json:"checksum"`
}

// SchemaVersion returns the name of the newest migration.
func (h *Header) SchemaVersion() string {
	if len(h.Schema) == 0 {
		return ""
	}
	return h.Schema[len(h.Schema)-1].Name
}

// A Column is a column of a table.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // one of the Type… words
}

// Types of columns.
const (
	TypeText = "text"
	TypeInt  = "int"
	TypeBool = "bool"
)

// A Table is a table as a backup has it.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
}

// ColumnNames returns the names of the columns, in order.
func (t *Table) ColumnNames() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// short reports whether the table is within the bounds of a file.
func (t *Table) short() bool {
	for _, c := range t.Columns {
		if len(c.Name) > maxName {
			return false
		}
	}
	return len(t.Name) <= maxName && len(t.Columns) <= maxColumns
}

// A Count is what a backup has of a table.
type Count struct {
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"` // of the rows
}

// A Footer is the last line of a file.
type Footer struct {
	Size int64 // of all before it
	Sum  [sha256.Size]byte
	MAC  [sha256.Size]byte
}

// MACOf returns the HMAC of a file's hash.
func MACOf(key []byte, sum [sha256.Size]byte) (out [sha256.Size]byte) {
	m := hmac.New(sha256.New, key)
	m.Write(sum[:])
	m.Sum(out[:0])
	return out
}

func (f *Footer) encode() []byte {
	return fmt.Appendf(nil, "\nend %020d %x %x\n", f.Size, f.Sum, f.MAC)
}

// ParseFooter reads the last FooterSize bytes of a file.
func ParseFooter(raw []byte) (*Footer, error) {
	parts := strings.Fields(string(raw))
	if len(parts) != 4 {
		return nil, damaged("the backup is not complete: its end is missing")
	}
	f := &Footer{}
	var err error
	if f.Size, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return nil, damaged("the backup is not complete: its end is missing")
	}
	for i, to := range [][]byte{f.Sum[:], f.MAC[:]} {
		if n, err := hex.Decode(to, []byte(parts[2+i])); err != nil || n != sha256.Size {
			return nil, damaged("the backup is not complete: its end is missing")
		}
	}
	if !bytes.Equal(raw, f.encode()) { // another spelling of the same
		return nil, damaged("the backup is not complete: its end is missing")
	}
	return f, nil
}

// FooterSize is the length of the last line of a file.
const FooterSize = footerSize

func damaged(format string, args ...any) error {
	return &fault.Error{Kind: fault.Invalid, Reason: ReasonDamaged, Text: fmt.Sprintf(format, args...)}
}
