package breached

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// listOf returns the hashes of password-0, password-1 and so on in their order.
func listOf(n int) []hash {
	all := make([]hash, n)
	for i := range all {
		all[i] = sha1.Sum(fmt.Append(nil, "password-", i))
	}
	slices.SortFunc(all, func(a, b hash) int { return bytes.Compare(a[:], b[:]) })
	return all
}

// format writes hashes as lines.
func format(all []hash, end string, count, upper bool) string {
	var b strings.Builder
	for i, h := range all {
		digits := hex.EncodeToString(h[:])
		if upper {
			digits = strings.ToUpper(digits)
		}
		b.WriteString(digits)
		if count {
			fmt.Fprintf(&b, ":%d", i*i%100_003+1)
		}
		b.WriteString(end)
	}
	return b.String()
}

func write(t *testing.T, text string) string {
	name := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// check looks up all n entries of a list made by listOf(n), and n passwords that it does not hold.
func check(t *testing.T, l *List, n int, wrong float64) {
	t.Helper()
	found := 0
	for i := range n {
		if ok, err := l.Contains(t.Context(), fmt.Sprint("password-", i)); !ok || err != nil {
			t.Fatalf("password-%d: %v %v", i, ok, err)
		}
		ok, err := l.Contains(t.Context(), fmt.Sprint("other-", i))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			found++
		}
	}
	if float64(found) > wrong*float64(n)+3*wrong*1000 {
		t.Errorf("%d of %d that are not in the list were found", found, n)
	}
}

func TestListsOfLines(t *testing.T) {
	const n = 3000
	all := listOf(n)
	for name, text := range map[string]string{
		"as published":    format(all, "\r\n", true, true),
		"lower case":      format(all, "\n", true, false),
		"without counts":  format(all, "\n", false, true),
		"without an end":  strings.TrimSuffix(format(all, "\n", true, true), "\n"),
		"with empty line": format(all, "\n", true, true) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			l := must(Open(write(t, text)))
			defer l.Close()
			check(t, l, n, 0)
			if e := l.Entries(); e < n*3/4 || e > n*5/4 {
				t.Errorf("%d entries", e)
			}
		})
	}
	for _, few := range []int{1, 2, 3} {
		l := must(Open(write(t, format(listOf(few), "\n", true, true))))
		check(t, l, few, 0)
		must(0, l.Close())
	}
}

// Hashes that are close together make the expected place wrong.
func TestOddLists(t *testing.T) {
	var all []hash
	for i := range uint64(20_000) {
		var h hash
		h[0] = 0x77
		binary.BigEndian.PutUint64(h[12:], i*3+1)
		all = append(all, h)
	}
	all = append([]hash{{}}, append(all, hash(bytes.Repeat([]byte{0xff}, len(hash{}))))...)
	text := format(all, "\n", true, true)
	l := must(openLines(strings.NewReader(text), int64(len(text))))
	for i, h := range all {
		if ok, err := l.contains(h); !ok || err != nil {
			t.Fatalf("%d: %v %v", i, ok, err)
		}
		h[len(h)-1] ^= 2
		if i > 0 && i < len(all)-1 && i%97 == 0 {
			if ok, err := l.contains(h); ok != slices.Contains(all, h) || err != nil {
				t.Fatalf("next to %d: %v %v", i, ok, err)
			}
		}
	}
}

// vast is a list of a billion lines that exists nowhere.
type vast struct{ reads int }

const (
	vastLines = 1_000_000_000
	vastLine  = int64(hexLength + len(":7\n"))
)

func (v *vast) line(i int64) (h hash) {
	const step = (1<<64 - 1) / vastLines
	binary.BigEndian.PutUint64(h[:], uint64(i)*step+uint64(i)*0x9e3779b97f4a7c15%step)
	binary.BigEndian.PutUint64(h[8:], uint64(i)*0x9e3779b97f4a7c15)
	return h
}

func (v *vast) ReadAt(p []byte, at int64) (int, error) {
	v.reads++
	n := 0
	for n < len(p) {
		i := (at + int64(n)) / vastLine
		if i >= vastLines {
			return n, io.EOF
		}
		h := v.line(i)
		line := fmt.Sprintf("%X:7\n", h[:])
		n += copy(p[n:], line[(at+int64(n))%vastLine:])
	}
	return n, nil
}

func TestAVastListIsReadInAFewPlaces(t *testing.T) {
	v := &vast{}
	l := must(openLines(v, vastLines*vastLine))
	if v.reads > samples {
		t.Errorf("%d reads to open it", v.reads)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	most := 0
	for range 500 {
		v.reads = 0
		h := v.line(rng.Int64N(vastLines))
		if ok, err := l.contains(h); !ok || err != nil {
			t.Fatal(ok, err)
		}
		h[19] ^= 1
		if ok, err := l.contains(h); ok || err != nil {
			t.Fatal(ok, err)
		}
		most = max(most, v.reads)
	}
	if most > 30 {
		t.Errorf("%d reads for two lookups", most)
	}
}

func TestWhatIsNoList(t *testing.T) {
	all := listOf(2000)
	back := slices.Clone(all)
	slices.Reverse(back)
	good := format(all, "\n", true, true)
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "empty"},
		"only an end":   {"\n", "empty"},
		"words":         {"123456\npassword\n", "SHA-1"},
		"one long line": {strings.Repeat("x", 10_000), "SHA-1"},
		"pairs":         {strings.ReplaceAll(good, ":", ","), "SHA-1"},
		"NTLM":          {"32ED87BDB5FDC5E9CBA88547376818D4:1\n", "SHA-1"},
		"not in order":  {format(back, "\n", true, true), "order"},
		"by count":      {good[1:], "SHA-1"},
		"UTF-16":        {"\xff\xfe0\x000\x00", "SHA-1"},
		"damaged":       {magic + strings.Repeat("x", 100), "damaged"},
		"cut header":    {magic, "damaged"},
		"wrong size":    {string(header(5, 100, 0)) + "x", "size"},
		"endless":       {string(header(1<<60, 100, 0)), "size"},
		"no blocks":     {string(header(0, 0, 0)), "size"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, c.text)
			if _, err := Open(file); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func TestFilter(t *testing.T) {
	for _, n := range []int{1, 269, 271, 100_000} {
		in := write(t, format(listOf(n), "\r\n", true, true))
		out := filepath.Join(t.TempDir(), "filter")
		made, err := Build(t.Context(), in, out)
		if err != nil {
			t.Fatal(err)
		}
		if info := must(os.Stat(out)); made.Entries != int64(n) || made.Size != info.Size() || made.Rate <= 0 || made.Rate > 0.001 {
			t.Errorf("%d: %+v, %d bytes", n, made, info.Size())
		}
		l := must(Open(out))
		if l.Entries() != int64(n) {
			t.Errorf("%d entries", l.Entries())
		}
		check(t, l, n, 0.0015)
		must(0, l.Close())
		files := must(filepath.Glob(filepath.Join(filepath.Dir(out), "*")))
		if len(files) != 1 {
			t.Errorf("left over: %q", files)
		}
	}
}

func TestBuildRejects(t *testing.T) {
	all := listOf(2000)
	good := format(all, "\n", true, true)
	swapped := slices.Clone(all)
	swapped[1000], swapped[1001] = swapped[1001], swapped[1000]
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, c := range map[string]struct {
		text, want string
		ctx        context.Context
	}{
		"empty":         {"", "empty", t.Context()},
		"not in order":  {format(swapped, "\n", true, true), "line 1002", t.Context()},
		"a wrong line":  {good + "x\n", "line 2001", t.Context()},
		"a empty line":  {"\n" + good, "line 1", t.Context()},
		"a long line":   {good + strings.Repeat("7", 2<<20), "line 2001", t.Context()},
		"stopped early": {good, "canceled", stopped},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if _, err := Build(c.ctx, write(t, c.text), filepath.Join(folder, "out")); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if files := must(os.ReadDir(folder)); len(files) != 0 {
				t.Errorf("left over: %v", files)
			}
		})
	}
	if _, err := Build(t.Context(), filepath.Join(t.TempDir(), "none"), "out"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no input: %v", err)
	}
}

// A damaged block is an error, and not an answer.
func TestDamagedFilter(t *testing.T) {
	const n = 2000
	out := filepath.Join(t.TempDir(), "filter")
	must(Build(t.Context(), write(t, format(listOf(n), "\n", true, true)), out))
	raw := must(os.ReadFile(out))
	for i := headerSize; i < len(raw); i += blockSize {
		raw[i+100] ^= 1
	}
	must(0, os.WriteFile(out, raw, 0o600))
	l := must(Open(out))
	defer l.Close()
	for i := range n {
		if _, err := l.Contains(t.Context(), fmt.Sprint("password-", i)); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Fatalf("password-%d: %v", i, err)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"", "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:1\r\n", "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", "x:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h, err := parseLine([]byte(line))
		if err == nil && !strings.EqualFold(hex.EncodeToString(h[:]), line[:hexLength]) {
			t.Errorf("%q is read as %x", line, h)
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(format(listOf(200), "\r\n", true, true)))
	f.Add(header(1, 1, 0))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := bytes.NewReader(raw)
		var l lookup
		var err error
		if head := raw[:min(len(raw), headerSize)]; isFilter(head) {
			l, err = openFilter(in, head, int64(len(raw)))
		} else {
			l, err = openLines(in, int64(len(raw)))
		}
		if err != nil {
			return
		}
		for i := range 20 {
			_, _ = l.contains(sha1.Sum(fmt.Append(nil, "password-", i))) // neither panics nor goes on for ever
		}
	})
}

func BenchmarkContains(b *testing.B) {
	const n = 1_000_000
	dir := b.TempDir()
	lines, filter := filepath.Join(dir, "lines"), filepath.Join(dir, "filter")
	must(0, os.WriteFile(lines, []byte(format(listOf(n), "\r\n", true, true)), 0o600))
	must(Build(b.Context(), lines, filter))
	for name, file := range map[string]string{"lines": lines, "filter": filter} {
		b.Run(name, func(b *testing.B) {
			l := must(Open(file))
			defer l.Close()
			i := 0
			for b.Loop() {
				i++
				must(l.Contains(b.Context(), fmt.Sprint("password-", i*7919%(2*n))))
			}
		})
	}
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			must(Build(b.Context(), lines, filter))
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "lines/s")
	})
}
