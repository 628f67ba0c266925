package backup

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// A Reader reads a backup file. What it has returned counts only once Close has returned nil: a
// file that was cut or altered may show that at its end.
type Reader struct {
	Header *Header

	in      *tail
	line    [sha256.Size]byte // hash of the header
	body    *bufio.Reader
	inner   *zstd.Decoder
	plain   io.Reader // what the decoder reads: nothing may be left of it
	table   *Table
	rows    int64
	sum     hash.Hash
	counts  []Count
	buf     []byte
	values  []any
	closed  bool
	Scanned int64 // bytes of rows that were read
}

// tail passes on a file without its last line, and hashes it.
type tail struct {
	r    io.Reader
	buf  []byte // read and not passed on: at least the last line, at the end
	pos  int
	eof  bool
	hash hash.Hash
	size int64
}

const tailChunk = 256 << 10

// Read returns what is certainly not of the last line.
func (t *tail) Read(p []byte) (int, error) {
	for len(t.buf)-t.pos <= footerSize && !t.eof {
		rest := copy(t.buf[:cap(t.buf)], t.buf[t.pos:])
		t.buf, t.pos = t.buf[:rest], 0
		n, err := t.r.Read(t.buf[rest:cap(t.buf)])
		t.buf = t.buf[:rest+n]
		if errors.Is(err, io.EOF) {
			t.eof = true
		} else if err != nil {
			return 0, err
		}
	}
	n := len(t.buf) - t.pos - footerSize
	if n <= 0 {
		return 0, io.EOF
	}
	n = copy(p, t.buf[t.pos:t.pos+n])
	t.hash.Write(p[:n])
	t.size += int64(n)
	t.pos += n
	return n, nil
}

// ReadHeader reads the beginning of a backup file. It returns the header, its line, and how many
// bytes it has read.
func readHeader(r io.Reader) (*Header, []byte, error) {
	not := damaged("this is not a backup of Gatehouse")
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(r, start); err != nil || string(start) != magic {
		if err == nil && bytes.HasPrefix(start, []byte("gatehouse-backup ")) {
			return nil, nil, fault.New(fault.Conflict, "the backup was made by a newer release of Gatehouse; use that")
		}
		return nil, nil, not
	}
	line := make([]byte, 0, 4<<10)
	for one := make([]byte, 1); ; { // the rest of the file belongs to others
		if _, err := io.ReadFull(r, one); err != nil || len(line) > maxHeader {
			return nil, nil, not
		}
		if one[0] == '\n' {
			break
		}
		line = append(line, one[0])
	}
	h := &Header{}
	if err := json.Unmarshal(line, h); err != nil || h.ID == "" {
		return nil, nil, not
	}
	return h, line, nil
}

// ParseHeader reads the header from the beginning of a file.
func ParseHeader(start []byte) (*Header, error) {
	h, _, err := readHeader(bytes.NewReader(start))
	return h, err
}

// HeaderRoom is how many bytes at the beginning of a file contain its header.
const HeaderRoom = len(magic) + maxHeader

// NewReader reads the header. Begin must be called before anything else.
func NewReader(r io.Reader) (*Reader, error) {
	b := &Reader{in: &tail{r: r, buf: make([]byte, 0, tailChunk), hash: sha256.New()}, sum: sha256.New()}
	h, line, err := readHeader(b.in)
	if err != nil {
		return nil, err
	}
	b.Header, b.line = h, sha256.Sum256(line)
	return b, nil
}

// ParseIdentities returns the age identities (AGE-SECRET-KEY-1…) of a file as age-keygen writes it.
func ParseIdentities(text []byte) ([]age.Identity, error) {
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, fault.New(fault.Invalid, "the file of --identity has no private key of age (AGE-SECRET-KEY-1…)")
	}
	return ids, nil
}

// Begin opens the rows, with the identities if they are encrypted.
func (b *Reader) Begin(identities []age.Identity) error {
	b.plain = b.in
	if b.Header.Encrypted {
		if len(identities) == 0 {
			return &fault.Error{
				Kind: fault.Invalid, Reason: ReasonLocked,
				Text: "the backup is encrypted; give the file with the private key of age by --identity",
			}
		}
		plain, err := age.Decrypt(b.in, identities...)
		if err != nil {
			var none *age.NoIdentityMatchError
			if errors.As(err, &none) {
				return &fault.Error{
					Kind: fault.Invalid, Reason: ReasonLocked,
					Text: "the backup is encrypted for other keys than those of --identity",
				}
			}
			return b.broken(err)
		}
		b.plain = plain
	}
	inner, err := zstd.NewReader(b.plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return b.broken(err)
	}
	b.inner = inner
	b.body = bufio.NewReaderSize(inner, 256<<10)
	kind, content, err := b.record()
	if err != nil {
		return err
	}
	if kind != recordHeader || !bytes.Equal(content, b.line[:]) {
		return damaged("the header of the backup was altered")
	}
	return nil
}

// broken returns the error of a file that cannot be read further.
func (b *Reader) broken(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return fault.Wrap(fault.Invalid, &fault.Error{Kind: fault.Invalid, Reason: ReasonDamaged, Text: err.Error()},
		"the backup was cut or altered, or cannot be read")
}

func (b *Reader) record() (kind byte, content []byte, err error) {
	kind, err = b.body.ReadByte()
	if err != nil {
		return 0, nil, b.broken(err)
	}
	n, err := binary.ReadUvarint(b.body)
	if err != nil {
		return 0, nil, b.broken(err)
	}
	if n > MaxRow || kind != recordRow && n > maxRecord {
		return 0, nil, damaged("the backup was altered: it has a record of %d bytes", n)
	}
	if uint64(cap(b.buf)) < n {
		b.buf = make([]byte, n)
	}
	b.buf = b.buf[:n]
	if _, err := io.ReadFull(b.body, b.buf); err != nil {
		return 0, nil, b.broken(err)
	}
	return kind, b.buf, nil
}

// NextTable returns the next table, or nil after the last one.
func (b *Reader) NextTable() (*Table, error) {
	if b.table != nil {
		return nil, errors.New("backup: the rows of the table before must be read first")
	}
	kind, content, err := b.record()
	if err != nil {
		return nil, err
	}
	switch kind {
	case recordTable:
		t := &Table{}
		if err := json.Unmarshal(content, t); err != nil || t.Name == "" || len(t.Columns) == 0 {
			return nil, damaged("the backup was altered: it has a table without a name or columns")
		}
		if len(b.counts) >= maxTables || !t.short() {
			return nil, damaged("the backup was altered: it has too many tables or columns, or names that are too long")
		}
		b.table, b.rows = t, 0
		b.values = make([]any, len(t.Columns))
		b.sum.Reset()
		return t, nil
	case recordClose:
		var all []Count
		if err := json.Unmarshal(content, &all); err != nil || len(all) != len(b.counts) {
			return nil, damaged("the backup was altered: its tables are not those that were written")
		}
		for i, c := range b.counts {
			if all[i] != c {
				return nil, damaged("the backup was altered: table %s is not as it was written", c.Table)
			}
		}
		b.closed = true
		return nil, nil
	}
	return nil, damaged("the backup was altered: it has an unknown record")
}

// Row returns the next row of the table, or io.EOF after the last one. The slice is used again by
// the next call.
func (b *Reader) Row() ([]any, error) {
	kind, content, err := b.record()
	if err != nil {
		return nil, err
	}
	switch kind {
	case recordRow:
		b.rows++
		b.Scanned += int64(len(content))
		b.sum.Write(content)
		return b.values, b.decode(content)
	case recordEnd:
		var c Count
		have := Count{Table: b.table.Name, Rows: b.rows, SHA256: hex.EncodeToString(b.sum.Sum(nil))}
		if err := json.Unmarshal(content, &c); err != nil || c != have {
			return nil, damaged("the backup was altered: table %s is not as it was written", b.table.Name)
		}
		b.counts, b.table = append(b.counts, have), nil
		return nil, io.EOF
	}
	return nil, damaged("the backup was altered: it has an unknown record")
}

func (b *Reader) decode(raw []byte) error {
	bad := func() error {
		return damaged("the backup was altered: table %s has a row that cannot be read", b.table.Name)
	}
	for i := range b.values {
		if len(raw) == 0 {
			return bad()
		}
		tag := raw[0]
		raw = raw[1:]
		switch tag {
		case tagNull:
			b.values[i] = nil
		case tagFalse, tagTrue:
			b.values[i] = tag == tagTrue
		case tagInt:
			v, n := binary.Varint(raw)
			if n <= 0 {
				return bad()
			}
			b.values[i], raw = v, raw[n:]
		case tagText:
			size, n := binary.Uvarint(raw)
			if n <= 0 || size > uint64(len(raw)-n) {
				return bad()
			}
			b.values[i], raw = string(raw[n:n+int(size)]), raw[n+int(size):]
		default:
			return bad()
		}
	}
	if len(raw) != 0 {
		return bad()
	}
	return nil
}

// Close checks the end of the file: that nothing was cut or added, and with a key that a server
// with the same SECRET_KEY wrote it.
func (b *Reader) Close(key []byte) error {
	if !b.closed {
		return damaged("the backup is not complete")
	}
	for _, r := range []io.Reader{b.body, b.plain, b.in} {
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			return b.broken(err)
		}
		if n > 0 {
			return damaged("the backup was altered: something was added to it")
		}
	}
	f, err := ParseFooter(b.in.buf[b.in.pos:])
	if err != nil {
		return err
	}
	var sum [sha256.Size]byte
	b.in.hash.Sum(sum[:0])
	if f.Size != b.in.size || sum != f.Sum {
		return damaged("the backup was cut or altered: its checksum is another one")
	}
	if key == nil {
		return nil
	}
	if want := MACOf(key, sum); !hmac.Equal(want[:], f.MAC[:]) {
		return damaged("the backup was not written by a server with this SECRET_KEY, or was altered since")
	}
	return nil
}

// Stop frees what the reader has. It may be called more than once.
func (b *Reader) Stop() {
	if b.inner != nil {
		b.inner.Close()
	}
}

// Counts returns what was read of each table.
func (b *Reader) Counts() []Count { return b.counts }
