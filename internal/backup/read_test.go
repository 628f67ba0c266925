package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A file that anybody could have written cannot make a reader take much memory.
func TestReaderBounds(t *testing.T) {
	table := func(name string) *Table { return &Table{Name: name, Columns: []Column{{"id", TypeText}}} }
	for name, write := range map[string]func(w *Writer){
		"many tables": func(w *Writer) {
			for i := range maxTables + 1 {
				testkit.Must(t, w.Table(table(fmt.Sprint("t", i))))
			}
		},
		"a long name": func(w *Writer) { testkit.Must(t, w.Table(table(strings.Repeat("t", maxName+1)))) },
		"a long column": func(w *Writer) {
			testkit.Must(t, w.Table(&Table{Name: "t", Columns: []Column{{strings.Repeat("c", maxName+1), TypeText}}}))
		},
		"many columns": func(w *Writer) {
			testkit.Must(t, w.Table(&Table{Name: "t", Columns: make([]Column, maxColumns+1)}))
		},
		"a long record": func(w *Writer) {
			head := binary.AppendUvarint([]byte{recordTable}, maxRecord+1)
			_, err := w.body.Write(append(head, make([]byte, maxRecord+1)...))
			testkit.Must(t, err)
		},
	} {
		var file bytes.Buffer
		w, err := NewWriter(&file, &Header{ID: "0123456789", MadeAt: time.Now()}, []byte("key"), nil)
		testkit.Must(t, err)
		write(w)
		testkit.Must(t, w.Close())
		r, err := NewReader(&file)
		testkit.Must(t, err)
		testkit.Must(t, r.Begin(nil))
		_, err = r.Verify(nil)
		var f *fault.Error
		if !errors.As(err, &f) || f.Reason != ReasonDamaged || !strings.Contains(err.Error(), "too") &&
			!strings.Contains(err.Error(), "a record of") {
			t.Errorf("%s: %v", name, err)
		}
		r.Stop()
	}
}

// The last line of a file has one spelling: with any byte changed, also to another space or to an
// upper-case digit, it is another line or none.
func TestFooterHasOneSpelling(t *testing.T) {
	f := &Footer{Size: 1 << 20, Sum: [32]byte{0xab}, MAC: [32]byte{0xcd}}
	raw := f.encode()
	if got, err := ParseFooter(raw); err != nil || *got != *f {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i := range raw {
		for b := range 256 {
			changed := bytes.Clone(raw)
			changed[i] = byte(b)
			if got, err := ParseFooter(changed); err == nil && byte(b) != raw[i] && *got == *f {
				t.Errorf("byte %d as %q is read as before", i, byte(b))
			}
		}
	}
}
