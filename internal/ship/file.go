package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// maxTail bounds an unfinished line at the end of a file that is removed, in bytes.
const maxTail = 1 << 20

// FileOptions configures a File.
type FileOptions struct {
	Path    string
	Format  Format
	MaxSize int64 // bytes after which the file is rotated; 0: never
	Keep    int   // rotated files that stay: PATH.1 is the newest
}

// File writes events to a file, one a line. An event is delivered when its line is on the disk.
type File struct {
	o FileOptions

	mu   sync.Mutex
	f    *os.File
	size int64 // of whole lines
}

// NewFile returns a File. The file is opened when there is something to write.
func NewFile(o FileOptions) *File { return &File{o: o} }

// Name returns the name of the sink.
func (f *File) Name() string { return "file" }

// Types returns nil: the file has all events.
func (f *File) Types() []audit.Type { return nil }

// Close closes the file.
func (f *File) Close() { f.Reopen() }

// Reopen closes the file, so that the next event opens the one with its name: another program may
// have moved it away.
func (f *File) Reopen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close()
}

func (f *File) close() {
	if f.f != nil {
		_ = f.f.Close()
		f.f = nil
	}
}

// Deliver appends events to the file.
func (f *File) Deliver(_ context.Context, events []audit.Event) Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines bytes.Buffer
	for i := range events {
		lines.Write(f.o.Format.Line(&events[i]))
		lines.WriteByte('\n')
	}
	if err := f.write(lines.Bytes()); err != nil {
		f.close()
		return Outcome{Err: fault.Wrap(fault.Unavailable, err, "the file cannot be written")}
	}
	return Outcome{Done: len(events)}
}

// write appends whole lines, and waits until they are on the disk. If only a part fits, as on a
// full disk, the part is removed again.
func (f *File) write(lines []byte) error {
	if err := f.open(); err != nil {
		return err
	}
	if f.o.MaxSize > 0 && f.size > 0 && f.size+int64(len(lines)) > f.o.MaxSize {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	n, err := f.f.Write(lines)
	if err == nil {
		err = f.f.Sync()
	}
	if err != nil {
		if n > 0 {
			err = errors.Join(err, f.f.Truncate(f.size))
		}
		return err
	}
	f.size += int64(n)
	return nil
}

// open opens the file unless it is open. An unfinished line at its end, which a crash has left, is
// removed: its event will be written again.
func (f *File) open() error {
	if f.f != nil {
		return f.sameFile()
	}
	file, err := os.OpenFile(f.o.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	size, err := wholeLines(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.f, f.size = file, size
	return nil
}

// sameFile opens the file anew if another one has its name now, or none.
func (f *File) sameFile() error {
	open, err := f.f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(f.o.Path)
	if err == nil && os.SameFile(open, named) {
		f.size = open.Size()
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.close()
	return f.open()
}

// wholeLines returns the size of a file, after it has removed an unfinished line at its end.
func wholeLines(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, err // a pipe or a terminal has no end
	}
	size := info.Size()
	tail := make([]byte, min(size, maxTail))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1
	if whole == len(tail) || whole == 0 && len(tail) == maxTail {
		return size, nil
	}
	size -= int64(len(tail) - whole)
	return size, file.Truncate(size)
}

// rotate moves PATH to PATH.1, PATH.1 to PATH.2 and so on, and opens a new file.
func (f *File) rotate() error {
	f.close()
	name := func(n int) string { return f.o.Path + "." + strconv.Itoa(n) }
	for n := f.o.Keep; n > 1; n-- {
		if err := os.Rename(name(n-1), name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotation: %w", err)
		}
	}
	var err error
	if f.o.Keep > 0 {
		err = os.Rename(f.o.Path, name(1))
	} else {
		err = os.Remove(f.o.Path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rotation: %w", err)
	}
	return f.open()
}
