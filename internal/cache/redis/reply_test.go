package redis

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func TestReplies(t *testing.T) {
	for in, want := range map[string]Reply{
		"+OK\r\n":                              {Text: "OK"},
		"+\r\n":                                {},
		"-ERR x y\r\n":                         {Err: "ERR x y"},
		":-12\r\n":                             {Int: -12},
		"$-1\r\n":                              {Null: true},
		"*-1\r\n":                              {Null: true},
		"$0\r\n\r\n":                           {},
		"$4\r\na\r\nb\r\n":                     {Text: "a\r\nb"},
		"*0\r\n":                               {Items: []Reply{}},
		"*3\r\n:1\r\n*1\r\n$1\r\na\r\n-E\r\n":  {Items: []Reply{{Int: 1}, {Items: []Reply{{Text: "a"}}}, {Err: "E"}}},
		"$3\r\nabc\r\n+what follows stays\r\n": {Text: "abc"},
	} {
		got, err := newReplyReader(strings.NewReader(in)).next()
		testkit.Must(t, err)
		testkit.Equal(t, in, got, want)
	}
}

// What a broken or hostile server sends ends the reading, and allocates little, whatever length it
// announces.
func TestMalformedReplies(t *testing.T) {
	many := strings.Repeat("*1\r\n", 1000)
	for _, in := range []string{
		"\r\n", "\n", "OK\r\n", "-\r\n", ":\r\n", ":a\r\n", ":1\n", "$a\r\n", "$-2\r\n", "*-2\r\n", "_\r\n", "%1\r\n+a\r\n+b\r\n",
		"$1\r\nabc", "$1000000000\r\n", "*1000000000\r\n", "$9223372036854775807\r\n", "*9223372036854775807\r\n",
		"$99999999999999999999\r\n", "*99999999999999999999\r\n", "*-9223372036854775808\r\n", "*4611686018427387904\r\n",
		"*1000000\r\n", "$16777217\r\n", "+" + strings.Repeat("x", maxLine+1) + "\r\n", many,
		"*2\r\n$16777000\r\n" + strings.Repeat("x", 16777000) + "\r\n$10000\r\n",
		"*200\r\n" + strings.Repeat("*60000\r\n", 200),
	} {
		r := newReplyReader(strings.NewReader(in))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := r.next()
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errMalformed) {
			t.Errorf("%.40q: %v", in, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 4*maxReply {
			t.Errorf("%.40q: %d bytes were allocated", in, took)
		}
	}
}

func TestTornReplies(t *testing.T) {
	for _, in := range []string{"", "+OK", "+OK\r", "$3\r\nab", "$3\r\nabc", "*2\r\n:1\r\n", "*1\r\n"} {
		_, err := newReplyReader(strings.NewReader(in)).next()
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, in := range []string{"+OK\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "$1000000000\r\n", "*3\r\n*-1\r\n"} {
		f.Add(in)
	}
	f.Fuzz(func(_ *testing.T, in string) {
		r := newReplyReader(strings.NewReader(in))
		for {
			if _, err := r.next(); err != nil {
				return
			}
		}
	})
}

func TestCommand(t *testing.T) {
	got := string(appendCommand([]byte("before"), []string{"SET", "", "a\r\nb"}))
	testkit.Equal(t, "command", got, "before*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n")
}

// The slots are those that a server computes (CLUSTER KEYSLOT).
func TestSlots(t *testing.T) {
	hosts := strings.Split(strings.TrimPrefix(testkit.StartRedisCluster(t), "redis://"), ",")
	c := client(t, Config{Mode: Cluster, Addrs: hosts})
	for _, key := range []string{"", "a", "123456789", "{a}b", "x{a}{b}", "{}a", "{a", "a}", "{{a}}", "gatehouse:limit:{a", "ä\x00"} {
		reply, err := c.Do(t.Context(), key, "CLUSTER", "KEYSLOT", key)
		testkit.Must(t, err)
		testkit.Equal(t, key, slotOf(key), int(reply.Int))
	}
}
