package breached

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

const (
	hexLength = 2 * len(hash{})
	maxLine   = 128     // bytes, with the end of the line
	scanSize  = 4 << 10 // a range that is read at once
	samples   = 64      // places at which the order is checked when a list is opened
	guesses   = 8       // lookups by the expected place; then by halves, however odd the list is
)

// errLine is the error of a list that is not what Open expects.
var errLine = errors.New("this is not a list of breached passwords: each line must have the SHA-1 hash of a " +
	"password in 40 hexadecimal digits, and may have a colon and a number after it")

// parseLine returns the hash of a line, without or with its end.
func parseLine(line []byte) (h hash, err error) {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) < hexLength {
		return h, errLine
	}
	if _, err := hex.Decode(h[:], line[:hexLength]); err != nil {
		return h, errLine
	}
	rest := line[hexLength:]
	if len(rest) == 0 {
		return h, nil
	}
	if rest[0] != ':' || len(rest) == 1 || len(rest) > 20 {
		return h, errLine
	}
	for _, c := range rest[1:] {
		if c < '0' || c > '9' {
			return h, errLine
		}
	}
	return h, nil
}

// lines is a list of lines in the order of their hashes.
type lines struct {
	in   io.ReaderAt
	size int64
}

func openLines(in io.ReaderAt, size int64) (*lines, error) {
	l := &lines{in: in, size: size}
	var last hash
	for i := range int64(samples) {
		_, h, found, err := l.after(size / samples * i)
		if err != nil {
			return nil, err
		}
		if i == 0 && !found {
			return nil, errors.New("the list is empty")
		}
		if found && bytes.Compare(h[:], last[:]) < 0 {
			return nil, errors.New("the lines of the list are not in the order of the hashes; " +
				"sort them: LC_ALL=C sort INPUT > OUTPUT")
		}
		last = h
	}
	return l, nil
}

// after returns the first line that begins at a place or behind it. Behind the last line, found is
// false.
func (l *lines) after(at int64) (begin int64, h hash, found bool, err error) {
	var buf [2 * maxLine]byte
	from := max(at-1, 0) // at may be the beginning of a line
	n, err := l.in.ReadAt(buf[:min(int64(len(buf)), l.size-from)], from)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, h, false, err
	}
	rest := buf[:n]
	if at > 0 {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 && from+int64(n) < l.size {
			return 0, h, false, errLine
		}
		if end < 0 {
			return 0, h, false, nil
		}
		rest, from = rest[end+1:], from+int64(end)+1
	}
	if len(bytes.TrimSpace(rest)) == 0 && from+int64(len(rest)) >= l.size {
		return 0, h, false, nil
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	if h, err = parseLine(line); err != nil {
		return 0, h, false, fmt.Errorf("at byte %d: %w", from, err)
	}
	return from, h, true, nil
}

// span is the part of a list in which a line must begin, if it is there: from the beginning of a
// line to before an end.
type span struct {
	begin, end int64
	low, high  uint64 // bounds of the hashes in it, by their first eight bytes
}

// place returns where in the span to look for a hash.
func (s span) place(target uint64, expect bool) int64 {
	width := s.end - s.begin
	part := 0.5
	if expect && s.high > s.low {
		part = float64(target-s.low) / float64(s.high-s.low)
	}
	return min(max(s.begin+int64(part*float64(width)), s.begin+1), s.end-2)
}

func (l *lines) contains(h hash) (bool, error) {
	s := span{end: l.size, high: 1<<64 - 1}
	target := binary.BigEndian.Uint64(h[:])
	for round := 0; s.end-s.begin > scanSize; round++ {
		at := s.place(target, round < guesses)
		begin, found, ok, err := l.after(at)
		if err != nil {
			return false, err
		}
		if !ok || begin >= s.end { // no line begins behind at
			s.end = at + 1
			continue
		}
		number := binary.BigEndian.Uint64(found[:])
		switch order := bytes.Compare(found[:], h[:]); {
		case order == 0:
			return true, nil
		case order < 0:
			s.begin, s.low = begin, min(number, target)
		default:
			s.end, s.high = begin, max(number, target)
		}
	}
	return l.scan(s, h)
}

// scan looks at each line of a span.
func (l *lines) scan(s span, h hash) (bool, error) {
	buf := make([]byte, min(s.end-s.begin+maxLine, l.size-s.begin))
	if _, err := l.in.ReadAt(buf, s.begin); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if s.begin+int64(len(buf)) < l.size { // without the line that is cut
		buf = buf[:bytes.LastIndexByte(buf, '\n')+1]
	}
	for line := range bytes.Lines(buf) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		found, err := parseLine(line)
		if err != nil {
			return false, err
		}
		switch bytes.Compare(found[:], h[:]) {
		case 0:
			return true, nil
		case 1:
			return false, nil
		}
	}
	return false, nil
}

func (l *lines) entries() int64 { return l.size / int64(hexLength+len(":12\n")) }
