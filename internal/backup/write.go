package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Kinds of records. Each record is its kind, the length of its content, and its content.
const (
	recordHeader = 'H' // the SHA-256 of the header
	recordTable  = 'T' // JSON: a Table begins
	recordRow    = 'R' // a row of it
	recordEnd    = 'E' // JSON: the Count of the table
	recordClose  = 'Z' // JSON: the Counts of all tables
)

// Tags of values in rows.
const (
	tagNull = iota
	tagText
	tagInt
	tagFalse
	tagTrue
)

// A Writer writes a backup file, table by table.
type Writer struct {
	out      *bufio.Writer
	hash     hash.Hash // of all that is written
	size     int64
	body     io.Writer
	compress *zstd.Encoder
	encrypt  io.WriteCloser // or nil
	key      []byte

	table  *Table
	rows   int64
	sum    hash.Hash // of the rows of the table
	counts []Count
	buf    []byte
	read   int64
}

// ParseRecipients returns the age recipients that texts name (age1…).
func ParseRecipients(texts []string) ([]age.Recipient, error) {
	var out []age.Recipient
	for _, text := range texts {
		var r age.Recipient
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			if r, err = age.ParseHybridRecipient(text); err != nil {
				return nil, fault.InvalidField("BACKUP_RECIPIENTS",
					"%.70q is not a public key of age; one looks like age1…, and age-keygen makes it", text)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// NewWriter begins a backup file. Key makes the HMAC. With recipients the rows are encrypted.
func NewWriter(w io.Writer, h *Header, key []byte, recipients []age.Recipient) (*Writer, error) {
	b := &Writer{hash: sha256.New(), key: key, sum: sha256.New()}
	b.out = bufio.NewWriterSize(&counted{w: w, b: b}, 256<<10)
	h.Encrypted = len(recipients) > 0
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(line) > maxHeader {
		return nil, errors.New("the header of the backup is too long")
	}
	b.out.WriteString(magic)
	b.out.Write(line)
	if err := b.out.WriteByte('\n'); err != nil {
		return nil, err
	}
	var body io.Writer = b.out
	if h.Encrypted {
		if b.encrypt, err = age.Encrypt(b.out, recipients...); err != nil {
			return nil, err
		}
		body = b.encrypt
	}
	// One goroutine: the writer's pace is that of its caller.
	b.compress, err = zstd.NewWriter(body, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	b.body = b.compress
	sum := sha256.Sum256(line)
	return b, b.record(recordHeader, sum[:])
}

// counted hashes and counts what is written to the file.
type counted struct {
	w io.Writer
	b *Writer
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.b.hash.Write(p[:n])
	c.b.size += int64(n)
	return n, err
}

func (b *Writer) record(kind byte, content []byte) error {
	var head [1 + binary.MaxVarintLen64]byte
	head[0] = kind
	n := 1 + binary.PutUvarint(head[1:], uint64(len(content)))
	if _, err := b.body.Write(head[:n]); err != nil {
		return err
	}
	_, err := b.body.Write(content)
	return err
}

func (b *Writer) recordJSON(kind byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.record(kind, raw)
}

// Table begins a table, and ends the one before it.
func (b *Writer) Table(t *Table) error {
	if err := b.endTable(); err != nil {
		return err
	}
	b.table, b.rows = t, 0
	b.sum.Reset()
	return b.recordJSON(recordTable, t)
}

// Row writes a row: nil, a string, an int64 or a bool for each column.
func (b *Writer) Row(values []any) error {
	buf := b.buf[:0]
	for i, v := range values {
		if n, ok := v.(int64); ok && b.table.Columns[i].Type == TypeBool && (n == 0 || n == 1) {
			v = n == 1 // SQLite has no truth values of its own
		}
		switch x := v.(type) {
		case nil:
			buf = append(buf, tagNull)
		case string:
			buf = binary.AppendUvarint(append(buf, tagText), uint64(len(x)))
			buf = append(buf, x...)
		case []byte:
			buf = binary.AppendUvarint(append(buf, tagText), uint64(len(x)))
			buf = append(buf, x...)
		case int64:
			buf = binary.AppendVarint(append(buf, tagInt), x)
		case bool:
			if x {
				buf = append(buf, tagTrue)
			} else {
				buf = append(buf, tagFalse)
			}
		default:
			return fmt.Errorf("table %s: a value of type %T cannot be backed up", b.table.Name, v)
		}
	}
	if len(buf) > MaxRow {
		return fmt.Errorf("table %s: a row of %d bytes cannot be backed up", b.table.Name, len(buf))
	}
	b.buf = buf
	b.rows++
	b.read += int64(len(buf))
	b.sum.Write(buf)
	return b.record(recordRow, buf)
}

func (b *Writer) endTable() error {
	if b.table == nil {
		return nil
	}
	c := Count{Table: b.table.Name, Rows: b.rows, SHA256: hex.EncodeToString(b.sum.Sum(nil))}
	b.counts, b.table = append(b.counts, c), nil
	return b.recordJSON(recordEnd, c)
}

// Close ends the file. Without it, the file is not a backup.
func (b *Writer) Close() error {
	if err := b.endTable(); err != nil {
		return err
	}
	if err := b.recordJSON(recordClose, b.counts); err != nil {
		return err
	}
	if err := b.compress.Close(); err != nil {
		return err
	}
	if b.encrypt != nil {
		if err := b.encrypt.Close(); err != nil {
			return err
		}
	}
	if err := b.out.Flush(); err != nil {
		return err
	}
	f := &Footer{Size: b.size}
	b.hash.Sum(f.Sum[:0])
	f.MAC = MACOf(b.key, f.Sum)
	b.out.Write(f.encode())
	return b.out.Flush()
}

// Counts returns what was written of each table that has ended.
func (b *Writer) Counts() []Count { return b.counts }

// Size returns the number of bytes that have been written, and Rows how many bytes the rows had.
func (b *Writer) Size() int64 { return b.size }

// Sum returns the SHA-256 of all that was written, the last line included, after Close.
func (b *Writer) Sum() string { return hex.EncodeToString(b.hash.Sum(nil)) }
