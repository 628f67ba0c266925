package faults_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A write is a change to a file by a system call: data at an offset, or, without data, a new size.
type write struct {
	begin, end time.Time
	at         int64
	data       []byte
}

// to returns the content of the file after the write.
func (w write) to(file []byte) []byte {
	size := w.at + int64(len(w.data))
	if w.data == nil && size < int64(len(file)) {
		return file[:size]
	}
	if grow := size - int64(len(file)); grow > 0 {
		file = append(file, make([]byte, grow)...)
	}
	copy(file[w.at:], w.data)
	return file
}

// A history holds all changes to one file since its initial content.
type history struct {
	base   []byte
	made   time.Time // when the file was created, if it did not exist
	writes []write
	syncs  []kernelCall
}

// A record holds the history of each file of a directory.
type record struct {
	dir   string
	files map[string]*history
	syncs []kernelCall // of the directory, which make new names durable
}

// newRecord builds the record of a directory from a trace. Base holds the content of its files
// before the trace.
func newRecord(t testing.TB, calls []kernelCall, dir string, base map[string][]byte) *record {
	t.Helper()
	r := &record{dir: dir, files: map[string]*history{}}
	for name, raw := range base {
		r.files[name] = &history{base: raw}
	}
	for _, d := range calls {
		if err := r.add(d); err != nil {
			t.Fatalf("%s(%.200s): %v", d.name, d.args, err)
		}
	}
	return r
}

// add records one system call. strace prints a file as 3</its/path>, and strings in hexadecimal.
func (r *record) add(d kernelCall) error {
	name, err := r.nameIn(d)
	if err != nil {
		return err
	}
	if name == "." && d.name == "fsync" {
		r.syncs = append(r.syncs, d)
		return nil
	}
	if !strings.HasPrefix(name, "gatehouse.db") || name == "gatehouse.db-shm" { // SQLite rebuilds the -shm file from the log
		return nil
	}
	f := r.files[name]
	if f == nil {
		f = &history{made: d.begin}
		r.files[name] = f
	}
	parts := strings.Split(d.args, ", ")
	switch {
	case d.name == "open" || d.name == "openat":
	case d.name == "fsync" || d.name == "fdatasync":
		f.syncs = append(f.syncs, d)
	case d.name == "ftruncate" && len(parts) == 2:
		size, err := strconv.ParseInt(parts[1], 10, 64)
		f.writes = append(f.writes, write{d.begin, d.end, size, nil})
		return err
	case d.name == "pwrite64" && len(parts) == 4:
		data, err1 := unhex(strings.Trim(parts[1], `"`))
		at, err2 := strconv.ParseInt(parts[3], 10, 64)
		f.writes = append(f.writes, write{d.begin, d.end, at, data})
		return cmp.Or(err1, err2, want(strconv.Itoa(len(data)) == parts[2], "the trace has %d bytes of it", len(data)))
	default:
		return fmt.Errorf("the story does not know what this does to %s", name)
	}
	return nil
}

// nameIn returns the name of the file that a system call works on, "." for the directory itself, or
// "" for a file elsewhere.
func (r *record) nameIn(d kernelCall) (string, error) {
	_, text, _ := strings.Cut(d.args, "<")
	text, _, _ = strings.Cut(text, ">")
	if strings.HasPrefix(d.name, "open") || strings.HasPrefix(d.name, "unlink") || strings.HasPrefix(d.name, "rename") {
		_, text, _ = strings.Cut(d.args, `"`)
		text, _, _ = strings.Cut(text, `"`)
	}
	path, err := unhex(text)
	if err != nil {
		return "", err
	}
	name, err := filepath.Rel(r.dir, string(path))
	if err != nil || strings.Contains(name, "/") || name == ".." {
		return "", nil // the server's files have absolute paths
	}
	return name, nil
}

// at splits the writes before a power loss into those that were synced and those that may be lost.
func (f *history) at(cut time.Time) (sure, loose []write) {
	var last time.Time // writes that ended by then are synced
	for _, s := range f.syncs {
		if s.end.Before(cut) && s.begin.After(last) {
			last = s.begin
		}
	}
	for _, w := range f.writes {
		switch {
		case !w.end.After(last):
			sure = append(sure, w)
		case w.begin.Before(cut):
			loose = append(loose, w)
		}
	}
	return sure, loose
}

// lasts reports whether the file is certain to exist after a power loss.
func (r *record) lasts(f *history, cut time.Time) bool {
	return f.made.IsZero() || slices.ContainsFunc(r.syncs, func(s kernelCall) bool { return s.begin.After(f.made) && s.end.Before(cut) })
}

// A outcome is a possible outcome for unsynced writes after a power loss. The disk guarantees
// neither the writes nor their order.
type outcome struct {
	name string
	of   func([]write) []write
}

// outcomes returns the outcomes to test. The seed selects the random ones.
func outcomes(seed uint64) []outcome {
	torn := func(w write) write {
		w.data = w.data[:len(w.data)/2]
		return w
	}
	return []outcome{
		{"all of it is lost", func([]write) []write { return nil }},
		{"all of it but half of the last write is there", func(loose []write) []write {
			loose = slices.Clone(loose)
			if n := len(loose); n > 0 && loose[n-1].data != nil {
				loose[n-1] = torn(loose[n-1])
			}
			return loose
		}},
		{"some of it is there", func(loose []write) (some []write) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			for _, w := range loose {
				switch rnd.IntN(3) {
				case 0:
					some = append(some, w)
				case 1:
					if w.data != nil {
						some = append(some, torn(w))
					}
				}
			}
			return some
		}},
	}
}

// rebuild writes the files to a new directory as they may be after a power loss.
func (r *record) rebuild(t testing.TB, cut time.Time, f outcome) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, h := range r.files {
		sure, loose := h.at(cut)
		survived := f.of(loose)
		if !r.lasts(h, cut) && len(survived) == 0 {
			continue
		}
		file := bytes.Clone(h.base)
		for _, w := range slices.Concat(sure, survived) {
			file = w.to(file)
		}
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A moment is a point in time with everything acknowledged before it.
type moment struct {
	at  time.Time
	had *journal
}

// moment returns a copy of everything acknowledged so far.
func (j *journal) moment() moment {
	j.mu.Lock()
	defer j.mu.Unlock()
	had := &journal{
		live: slices.Clip(j.live), dead: slices.Clip(j.dead), ended: slices.Clip(j.ended), consumed: slices.Clip(j.consumed),
		unexpected: slices.Clip(j.unexpected),
	}
	for _, c := range j.chains {
		had.chains = append(had.chains, &chain{slices.Clip(c.used), c.last, c.busy})
	}
	return moment{time.Now(), had}
}

// choose returns the moments for the power loss: those with the most unsynced writes to the
// write-ahead log and to the database, and the last one.
func (r *record) choose(t testing.TB, all []moment) map[string]moment {
	t.Helper()
	chosen := map[string]moment{"at the end": all[len(all)-1]}
	for what, name := range map[string]string{"as a commit is written": "gatehouse.db-wal", "as the log is copied": "gatehouse.db"} {
		most := 0
		for _, m := range all {
			if _, loose := r.files[name].at(m.at); len(loose) > most {
				most, chosen[what] = len(loose), m
			}
		}
		if most == 0 {
			t.Fatalf("%s: there was no such moment", what)
		}
	}
	return chosen
}

// The power fails under load. Only writes that were synced before are certain to survive. The test
// rebuilds the files as the disk may hold them, and checks everything acknowledged before.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	tr := newTracer(t, "open,openat,pwrite64,write,writev,pwritev,mmap,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync",
		"-y", "-xx", "-s", "1000000", "-e", "inject=fsync,fdatasync:delay_enter=3000") // so that there are unsynced writes to lose
	dir := t.TempDir()
	path := filepath.Join(dir, "gatehouse.db")
	h := newHost(t, "sqlite:"+path, map[string]string{"REFRESH_TOKEN_REUSE_INTERVAL": "60"})
	before := h.serve()
	c := h.workload(before)
	before.stop()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	s := h.serveOn(h.port, nil, tr.wrap...)
	moments := c.during(t, path)
	s.kill()
	r := newRecord(t, tr.calls(t), dir, map[string][]byte{"gatehouse.db": raw})
	seed := rand.Uint64()
	t.Logf("%d requests, %d moments, %d writes to the log, %d to the database; seed %d",
		c.requests.Load(), len(moments), len(r.files["gatehouse.db-wal"].writes), len(r.files["gatehouse.db"].writes), seed)
	for when, m := range r.choose(t, moments) {
		t.Logf("%s: %d live tokens, %d revoked, %d codes", when, len(m.had.live), len(m.had.dead), len(m.had.consumed))
		for _, f := range outcomes(seed) {
			t.Run(when+", "+f.name, func(t *testing.T) {
				after := newHost(t, "sqlite:"+filepath.Join(r.rebuild(t, m.at, f), "gatehouse.db"), map[string]string{"REFRESH_TOKEN_REUSE_INTERVAL": "60"})
				after.env["BASE_URL"] = h.issuer
				s := after.serve()
				back := &workload{journal: m.had, call: newCaller(t, s.url), web: c.web, machine: c.machine, opaque: c.opaque}
				back.verify(t)
				back.exhaust(t)
				s.kill()
				integrity(t, strings.TrimPrefix(after.env["DATABASE_URL"], "sqlite:"))
			})
		}
	}
}

// during puts the server under load until the log has been copied to the database, and returns the
// moments that it recorded meanwhile.
func (c *workload) during(t testing.TB, path string) (all []moment) {
	t.Helper()
	changed := func() time.Time {
		at, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return at.ModTime()
	}
	first := changed()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.load(ctx); close(done) }()
	defer func() { stop(); <-done }()
	eventually(t, "the log is copied to the database", func() error {
		all = append(all, c.moment())
		return want(changed().After(first), "it is not")
	})
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		all = append(all, c.moment())
	}
	return all
}
