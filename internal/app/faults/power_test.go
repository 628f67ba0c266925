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

// A write is what a program asked the kernel to do to a file: bytes at a place, or, without bytes, its new size.
type write struct {
	begin, end time.Time
	at         int64
	data       []byte
}

// to gives the file as it is after the write.
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

// A history is all that happened to one file, from what it was.
type history struct {
	base   []byte
	made   time.Time // when a file that was not there before was made
	writes []write
	syncs  []deed
}

// A record is all that happened in a directory.
type record struct {
	dir   string
	files map[string]*history
	syncs []deed // of the directory: they make new names last
}

// newRecord reads what a server did to the files of a directory since these were copied to base.
func newRecord(t testing.TB, deeds []deed, dir string, base map[string][]byte) *record {
	t.Helper()
	r := &record{dir: dir, files: map[string]*history{}}
	for name, raw := range base {
		r.files[name] = &history{base: raw}
	}
	for _, d := range deeds {
		if err := r.add(d); err != nil {
			t.Fatalf("%s(%.200s): %v", d.name, d.args, err)
		}
	}
	return r
}

// add takes one deed. strace writes a file as 3</its/path>, and everything in hexadecimal.
func (r *record) add(d deed) error {
	name, err := r.nameIn(d)
	if err != nil {
		return err
	}
	if name == "." && d.name == "fsync" {
		r.syncs = append(r.syncs, d)
		return nil
	}
	if !strings.HasPrefix(name, "gatehouse.db") || name == "gatehouse.db-shm" { // the latter is made anew from the log
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

// nameIn is the file of a deed in the directory, "." for the directory, or "" for what lies elsewhere.
func (r *record) nameIn(d deed) (string, error) {
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
		return "", nil // a relative path is none of ours
	}
	return name, nil
}

// at tells which writes last for certain when the power goes, and which had been asked for besides.
func (f *history) at(cut time.Time) (sure, loose []write) {
	var last time.Time // what had ended by then is synced
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

// lasts reports whether a file is certain to be there when the power goes.
func (r *record) lasts(f *history, cut time.Time) bool {
	return f.made.IsZero() || slices.ContainsFunc(r.syncs, func(s deed) bool { return s.begin.After(f.made) && s.end.Before(cut) })
}

// A fate is what becomes of writes that were not synced when the power goes: the disk owes nothing about them, nor about their order.
type fate struct {
	name string
	of   func([]write) []write
}

func fates(seed uint64) []fate {
	torn := func(w write) write {
		w.data = w.data[:len(w.data)/2]
		return w
	}
	return []fate{
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

// rebuild writes the files as they may be found when the power comes back.
func (r *record) rebuild(t testing.TB, cut time.Time, f fate) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, h := range r.files {
		sure, loose := h.at(cut)
		kept := f.of(loose)
		if !r.lasts(h, cut) && len(kept) == 0 {
			continue
		}
		file := bytes.Clone(h.base)
		for _, w := range slices.Concat(sure, kept) {
			file = w.to(file)
		}
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A moment is a time, and what had been answered before it.
type moment struct {
	at  time.Time
	had *kept
}

// moment takes down what has been answered.
func (k *kept) moment() moment {
	k.mu.Lock()
	defer k.mu.Unlock()
	had := &kept{
		live: slices.Clip(k.live), dead: slices.Clip(k.dead), ended: slices.Clip(k.ended), spent: slices.Clip(k.spent),
		refused: slices.Clip(k.refused),
	}
	for _, c := range k.chains {
		had.chains = append(had.chains, &chain{slices.Clip(c.used), c.last, c.busy})
	}
	return moment{time.Now(), had}
}

// choose finds the moments at which the power should go: with the most unsynced writes in the log, in the database itself
// while the log is copied to it, and the last one.
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

// The power goes under load. Of everything that the server wrote only what it had synced by then is certain to be there; the
// files are rebuilt as the disk may hold them, and every promise made before that moment must be kept.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	tr := newTracer(t, "open,openat,pwrite64,write,writev,pwritev,mmap,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync",
		"-y", "-xx", "-s", "1000000", "-e", "inject=fsync,fdatasync:delay_enter=3000") // so that there is something unsynced to be lost
	dir := t.TempDir()
	path := filepath.Join(dir, "gatehouse.db")
	h := newHouse(t, "sqlite:"+path, map[string]string{"REFRESH_TOKEN_REUSE_INTERVAL": "60"})
	before := h.serve()
	c := h.crew(before)
	before.stop()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	s := h.serveOn(h.port, nil, tr.wrap...)
	moments := c.during(t, path)
	s.kill()
	r := newRecord(t, tr.deeds(t), dir, map[string][]byte{"gatehouse.db": raw})
	seed := rand.Uint64()
	t.Logf("%d requests, %d moments, %d writes to the log, %d to the database; seed %d",
		c.asked.Load(), len(moments), len(r.files["gatehouse.db-wal"].writes), len(r.files["gatehouse.db"].writes), seed)
	for when, m := range r.choose(t, moments) {
		t.Logf("%s: %d live tokens, %d revoked, %d codes", when, len(m.had.live), len(m.had.dead), len(m.had.spent))
		for _, f := range fates(seed) {
			t.Run(when+", "+f.name, func(t *testing.T) {
				after := newHouse(t, "sqlite:"+filepath.Join(r.rebuild(t, m.at, f), "gatehouse.db"), map[string]string{"REFRESH_TOKEN_REUSE_INTERVAL": "60"})
				after.env["BASE_URL"] = h.issuer
				s := after.serve()
				back := &crew{kept: m.had, call: newCaller(t, s.url), web: c.web, machine: c.machine, opaque: c.opaque}
				back.verify(t)
				back.exhaust(t)
				s.kill()
				integrity(t, strings.TrimPrefix(after.env["DATABASE_URL"], "sqlite:"))
			})
		}
	}
}

// during loads the server until the log has been copied to the database, and takes down moments.
func (c *crew) during(t testing.TB, path string) (all []moment) {
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
