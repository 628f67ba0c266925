package redis

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Bounds of an answer. Memory is allocated only for what is within them, whatever length a server
// announces.
const (
	maxReply  = 16 << 20 // bytes, enough for the ranges of a large cluster
	maxDepth  = 8        // of arrays in arrays
	itemBytes = 64       // that an item of an array counts for, besides its text
	maxLine   = 16 << 10 // bytes of a line, such as an error
)

// errMalformed ends a connection: what follows on it cannot be read.
var errMalformed = errors.New("the answer of the Redis server cannot be read")

// A Reply is an answer of a server: a text, a number, a list or nothing.
type Reply struct {
	Null  bool
	Int   int64
	Text  string
	Items []Reply
	Err   Error // not ""; such a reply is returned as an error, but inside of a list
}

// Error is an error that a server answered. The command has had no effect.
type Error string

func (e Error) Error() string { return string(e) }

// Code returns the first word of the error, such as NOSCRIPT.
func (e Error) Code() string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}

// code returns the code of a server's error, or "" for other errors and nil.
func code(err error) string {
	var e Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return ""
}

// Ints returns a list of numbers.
func (r Reply) Ints() []int64 {
	out := make([]int64, len(r.Items))
	for i, item := range r.Items {
		out[i] = item.Int
	}
	return out
}

// A replyReader reads answers in version 2 of the protocol, which all servers speak.
type replyReader struct {
	r    *bufio.Reader
	left int // bytes that the answer may still have
}

func newReplyReader(r io.Reader) *replyReader {
	return &replyReader{r: bufio.NewReaderSize(r, maxLine)}
}

// next reads an answer.
func (r *replyReader) next() (Reply, error) {
	r.left = maxReply
	return r.read(maxDepth)
}

func (r *replyReader) read(depth int) (Reply, error) {
	line, err := r.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return Reply{}, errMalformed
	}
	if err != nil {
		return Reply{}, err
	}
	line, ended := bytes.CutSuffix(line, []byte("\r\n"))
	if !ended || len(line) == 0 || !r.reserve(len(line)) {
		return Reply{}, errMalformed
	}
	kind, rest := line[0], line[1:]
	switch {
	case kind == '+':
		return Reply{Text: string(rest)}, nil
	case kind == '-' && len(rest) > 0:
		return Reply{Err: Error(rest)}, nil
	}
	n, err := strconv.ParseInt(string(rest), 10, 64)
	if err != nil {
		return Reply{}, errMalformed
	}
	switch {
	case kind == ':':
		return Reply{Int: n}, nil
	case n == -1 && (kind == '$' || kind == '*'):
		return Reply{Null: true}, nil
	case kind == '$':
		return r.text(n)
	case kind == '*':
		return r.list(n, depth-1)
	}
	return Reply{}, errMalformed
}

// text reads n bytes and the end of the line.
func (r *replyReader) text(n int64) (Reply, error) {
	if n < 0 || n > maxReply || !r.reserve(int(n)) {
		return Reply{}, errMalformed
	}
	buf := make([]byte, n+2)
	if _, err := io.ReadFull(r.r, buf); err != nil {
		return Reply{}, err
	}
	text, ended := bytes.CutSuffix(buf, []byte("\r\n"))
	if !ended {
		return Reply{}, errMalformed
	}
	return Reply{Text: string(text)}, nil
}

// list reads n answers.
func (r *replyReader) list(n int64, depth int) (Reply, error) {
	if n < 0 || n > maxReply || depth == 0 || !r.reserve(int(n)*itemBytes) {
		return Reply{}, errMalformed
	}
	items := make([]Reply, n)
	for i := range items {
		item, err := r.read(depth)
		if err != nil {
			return Reply{}, err
		}
		items[i] = item
	}
	return Reply{Items: items}, nil
}

// reserve reports whether the answer may have n more bytes, and counts them.
func (r *replyReader) reserve(n int) bool {
	r.left -= n
	return r.left >= 0
}

// appendCommand appends a command in the form in which it is sent.
func appendCommand(to []byte, args []string) []byte {
	to = append(to, '*')
	to = strconv.AppendInt(to, int64(len(args)), 10)
	for _, arg := range args {
		to = append(to, "\r\n$"...)
		to = strconv.AppendInt(to, int64(len(arg)), 10)
		to = append(to, "\r\n"...)
		to = append(to, arg...)
	}
	return append(to, "\r\n"...)
}
