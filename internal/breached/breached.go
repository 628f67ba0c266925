// Package breached looks up passwords in a local copy of a list of breached passwords. The list is
// a file of either kind:
//
//   - lines of the SHA-1 hash of a password in hexadecimal digits and, after a colon, how often it
//     was seen, in the order of the hashes. Nothing of it is loaded: a lookup reads it in a few
//     places.
//   - a filter that Build makes of such lines. It is smaller by a factor of 20, takes one read for
//     a lookup, and finds about 1 in 1,000 of the passwords that are not in the list.
package breached

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
)

// hash is the SHA-1 hash of a password. It protects nothing: the published lists are made of it.
type hash [sha1.Size]byte

// List is an open list. It is safe for concurrent use.
type List struct {
	file *os.File
	in   lookup
}

// lookup is a kind of file.
type lookup interface {
	contains(h hash) (bool, error)
	entries() int64 // about how many
}

// Open opens a list and checks that it can be one, by its header or by samples.
func Open(name string) (*List, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	l := &List{file: f}
	if l.in, err = open(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return l, nil
}

func open(f *os.File) (lookup, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is not a file")
	}
	var head [headerSize]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if isFilter(head[:n]) {
		return openFilter(f, head[:n], info.Size())
	}
	return openLines(f, info.Size())
}

// Contains reports whether a password is in the list.
func (l *List) Contains(_ context.Context, password string) (bool, error) {
	return l.in.contains(sha1.Sum([]byte(password)))
}

// Entries returns about how many passwords the list has.
func (l *List) Entries() int64 { return l.in.entries() }

// Close closes the file.
func (l *List) Close() error { return l.file.Close() }
