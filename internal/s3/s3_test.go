package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/gatehouse-id/gatehouse/internal/s3"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const part = 5 << 20 // the smallest that servers take

var now = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

// client returns a client of a server.
func client(t *testing.T, url string, change ...func(*s3.Config)) *s3.Client {
	t.Helper()
	c := s3.Config{
		Endpoint: url,
		Region:   "eu-test-1",
		Bucket:   "bucket",
		KeyID:    keyID,
		Secret:   secretKey,
		HTTP:     &http.Client{},
		Now:      func() time.Time { return now },
		Part:     part,
	}
	for _, f := range change {
		f(&c)
	}
	out, err := s3.New(c)
	testkit.Must(t, err)
	return out
}

// pattern returns n bytes that differ from place to place.
func pattern(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i>>12) ^ byte(i)
	}
	return out
}

func put(c *s3.Client, key string, data []byte) error {
	return c.Put(context.Background(), key, func(w io.Writer) error {
		for len(data) > 0 { // in pieces that fit no part
			n := min(len(data), 700_001)
			if _, err := w.Write(data[:n]); err != nil {
				return err
			}
			data = data[n:]
		}
		return nil
	})
}

func get(t *testing.T, c *s3.Client, key string, offset, length int64) []byte {
	t.Helper()
	r, err := c.Get(t.Context(), key, offset, length)
	testkit.Must(t, err)
	defer r.Close()
	out, err := io.ReadAll(r)
	testkit.Must(t, err)
	return out
}

// TestObjects writes, reads, lists and deletes objects at a strict server, addressed in both ways,
// and at a server that others wrote.
func TestObjects(t *testing.T) {
	strict := newStrict(t)
	fake := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithAutoBucket(true),
		gofakes3.WithTimeSource(gofakes3.FixedTimeSource(now))).Server())
	t.Cleanup(fake.Close)
	inHost := func(c *s3.Config) {
		c.Endpoint = strings.Replace(strict.URL, "127.0.0.1", "{bucket}.localhost", 1)
		c.HTTP = &http.Client{Transport: toLoopback(strict.Listener.Addr().String())}
	}
	for name, c := range map[string]*s3.Client{
		"strict, path":  client(t, strict.URL),
		"strict, host":  client(t, "", inHost),
		"strict, token": client(t, strict.URL, func(c *s3.Config) { c.Token = sessionToken }),
		"gofakes3":      client(t, fake.URL),
	} {
		t.Run(name, func(t *testing.T) {
			prefix := strings.ReplaceAll(name, ", ", "/") + "/"
			for size, key := range map[int]string{
				0:              "empty",
				100:            "ä +%?&=#~.backup",
				part:           "one part",
				part + 1:       "two parts",
				3*part + 12345: "four parts",
			} {
				data := pattern(size)
				testkit.Must(t, put(c, prefix+key, data))
				if got := get(t, c, prefix+key, 0, 0); !bytes.Equal(got, data) {
					t.Errorf("%s: %d bytes came back as %d others", key, size, len(got))
				}
				n, err := c.Size(t.Context(), prefix+key)
				testkit.Must(t, err)
				testkit.Equal(t, "the size", n, int64(size))
				if err := put(c, prefix+key, data); !errors.Is(err, s3.ErrExists) {
					t.Errorf("%s was overwritten: %v", key, err)
				}
			}
			data := pattern(part + 1)
			if got := get(t, c, prefix+"two parts", 10, 20); !bytes.Equal(got, data[10:30]) {
				t.Errorf("a range: %x", got)
			}
			if got := get(t, c, prefix+"two parts", -3, 0); !bytes.Equal(got, data[part-2:]) {
				t.Errorf("the end: %x", got)
			}
			all, err := c.List(t.Context(), prefix)
			testkit.Must(t, err)
			testkit.Equal(t, "objects", len(all), 5)
			for _, o := range all {
				testkit.Must(t, c.Delete(t.Context(), o.Key))
			}
			testkit.Must(t, c.Delete(t.Context(), prefix+"never there"))
			all, err = c.List(t.Context(), prefix)
			testkit.Must(t, err)
			testkit.Equal(t, "objects", len(all), 0)
		})
	}
	testkit.Equal(t, "open uploads", strict.open(), 0)
}

// TestListPages reads more objects than a page has.
func TestListPages(t *testing.T) {
	s := newStrict(t)
	for i := range 1001 {
		s.objects[fmt.Sprintf("many/%04d", i)] = &object{data: []byte("x")}
	}
	s.objects["other"] = &object{}
	all, err := client(t, s.URL).List(t.Context(), "many/")
	testkit.Must(t, err)
	testkit.Equal(t, "objects", len(all), 1001)
	testkit.Equal(t, "the last object", all[1000], s3.Object{Key: "many/1000", Size: 1})
}

// TestUploads lists more uploads than a page has, several of one key among them, and aborts one.
func TestUploads(t *testing.T) {
	s := newStrict(t)
	for i := range 1001 {
		s.uploads[fmt.Sprintf("id+/%04d=", i)] = &pending{key: fmt.Sprintf("p/%d", i/2), begun: now.Add(-time.Duration(i) * time.Minute)}
	}
	s.uploads["other"] = &pending{key: "q", begun: now}
	c := client(t, s.URL)
	all, err := c.Uploads(t.Context(), "p/")
	testkit.Must(t, err)
	testkit.Equal(t, "uploads", len(all), 1001)
	ids := map[string]bool{}
	for _, u := range all {
		ids[u.ID] = true
		if u.ID == "id+/0003=" {
			testkit.Equal(t, "the upload", u, s3.Upload{Key: "p/1", ID: u.ID, Initiated: now.Add(-3 * time.Minute)})
		}
	}
	testkit.Equal(t, "different uploads", len(ids), 1001)
	for range 2 { // the second time, it has ended
		testkit.Must(t, c.Abort(t.Context(), s3.Upload{Key: "p/1", ID: "id+/0003="}))
	}
	testkit.Equal(t, "open uploads", s.open(), 1001)
}

// TestUploadFails breaks uploads in every way: there is no object then, and no part is left.
func TestUploadFails(t *testing.T) {
	broken := errors.New("the disk is full")
	for name, c := range map[string]struct {
		fail func(s *strictServer)
		size int
		err  error
		want string
	}{
		"writer":            {size: 2 * part, err: broken, want: "the disk is full"},
		"small writer":      {size: 10, err: broken, want: "the disk is full"},
		"part refused":      {fail: refuse("PUT", "partNumber=2", 403, "AccessDenied"), size: 3 * part, want: "s3:PutObject"},
		"part always 503":   {fail: refuse("PUT", "partNumber=2", 503, "SlowDown"), size: 3 * part, want: "SlowDown"},
		"complete refused":  {fail: refuse("POST", "uploadId", 400, "InvalidPart"), size: 2 * part, want: "InvalidPart"},
		"complete 200":      {fail: refuse("POST", "uploadId", 200, "InternalError"), size: 2 * part, want: "InternalError"},
		"small refused":     {fail: refuse("PUT", "", 403, "AccessDenied"), size: 10, want: "AccessDenied"},
		"cannot begin":      {fail: refuse("POST", "uploads", 500, "InternalError"), size: 2 * part, want: "InternalError"},
		"asks for the name": {fail: refuse("HEAD", "", 403, ""), size: 10, want: "s3:ListBucket"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStrict(t)
			if c.fail != nil {
				c.fail(s)
			}
			data := pattern(c.size)
			err := client(t, s.URL).Put(t.Context(), "x.backup", func(w io.Writer) error {
				if _, err := w.Write(data); err != nil {
					return err
				}
				return c.err
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
			testkit.Equal(t, "open uploads", s.open(), 0)
			testkit.Equal(t, "objects", len(s.objects), 0)
		})
	}
}

// TestUploadSurvives answers late, twice or not at all: the object is there once and right.
func TestUploadSurvives(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(s *strictServer)
		size int
	}{
		"a part fails once":           {once(refuse("PUT", "partNumber=2", 503, "SlowDown")), 3 * part},
		"a part breaks off":           {once(breakOff("PUT", "partNumber=1")), 2 * part},
		"complete fails once":         {once(refuse("POST", "uploadId", 200, "InternalError")), 2 * part},
		"complete's answer is lost":   {once(lose("POST", "uploadId")), 2 * part},
		"small one's answer is lost":  {once(lose("PUT", "")), 10},
		"knows no If-None-Match":      {func(s *strictServer) { s.noConditions = true }, 2 * part},
		"small, no If-None-Match":     {func(s *strictServer) { s.noConditions = true }, 10},
		"the name is asked for twice": {once(refuse("HEAD", "", 500, "")), 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStrict(t)
			c.fail(s)
			cl := client(t, s.URL)
			data := pattern(c.size)
			testkit.Must(t, put(cl, "x.backup", data))
			if !bytes.Equal(get(t, cl, "x.backup", 0, 0), data) {
				t.Error("another object is there")
			}
			testkit.Equal(t, "open uploads", s.open(), 0)
		})
	}
}

// TestTaken finds that another one has created the object meanwhile.
func TestTaken(t *testing.T) {
	for _, size := range []int{10, 2 * part} {
		s := newStrict(t)
		c := client(t, s.URL)
		data := pattern(size)
		err := c.Put(t.Context(), "x.backup", func(w io.Writer) error {
			s.add("x.backup", []byte("of another one"))
			_, err := w.Write(data)
			return err
		})
		if !errors.Is(err, s3.ErrExists) {
			t.Errorf("%d bytes: the error is %v", size, err)
		}
		testkit.Equal(t, "the object", string(get(t, c, "x.backup", 0, 0)), "of another one")
		testkit.Equal(t, "open uploads", s.open(), 0)
	}
}

// TestErrorsSayWhatToDo checks the words of errors, and that no credential is in them.
func TestErrorsSayWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		fail   func(s *strictServer)
		change func(c *s3.Config)
		want   string
	}{
		"secret":      {change: func(c *s3.Config) { c.Secret = "another-secret" }, want: "check AWS_SECRET_ACCESS_KEY"},
		"key":         {change: func(c *s3.Config) { c.KeyID = "AKOTHER" }, want: "check AWS_ACCESS_KEY_ID"},
		"clock":       {change: func(c *s3.Config) { c.Now = func() time.Time { return now.Add(20 * time.Minute) } }, want: "set the clock"},
		"region":      {change: func(c *s3.Config) { c.Region = "us-east-1" }, want: "set AWS_REGION"},
		"bucket":      {change: func(c *s3.Config) { c.Bucket = "missing" }, want: "create the bucket"},
		"echo":        {fail: echo, want: "[removed]"},
		"proxy":       {fail: page, want: "answered 502"},
		"unreachable": {change: func(c *s3.Config) { c.Endpoint = "http://127.0.0.1:1" }, want: "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStrict(t)
			if c.fail != nil {
				c.fail(s)
			}
			change := func(x *s3.Config) {
				x.Token = sessionToken
				if c.change != nil {
					c.change(x)
				}
			}
			_, err := client(t, s.URL, change).List(t.Context(), "secret-prefix/")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("the error is %v, want %q", err, c.want)
			}
			for _, s := range []string{keyID, secretKey, sessionToken, "Signature=", "\n", "\x1b"} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("the error holds %q: %v", s, err)
				}
			}
		})
	}
}

// TestConfig refuses what would go to another place than it looks.
func TestConfig(t *testing.T) {
	good := s3.Config{Bucket: "bucket", KeyID: "a", Secret: "b"}
	_, err := s3.New(good)
	testkit.Must(t, err)
	for name, change := range map[string]func(c *s3.Config){
		"no key":         func(c *s3.Config) { c.KeyID = "" },
		"no secret":      func(c *s3.Config) { c.Secret = "" },
		"no bucket":      func(c *s3.Config) { c.Bucket = "" },
		"bucket.":        func(c *s3.Config) { c.Bucket = "bucket." },
		"bucket@host":    func(c *s3.Config) { c.Bucket = "bucket@example.com" },
		"bucket/../x":    func(c *s3.Config) { c.Bucket = "../other" },
		"password":       func(c *s3.Config) { c.Endpoint = "https://user:hunter22@example.com" },
		"query":          func(c *s3.Config) { c.Endpoint = "https://example.com/?a=hunter22" },
		"not an address": func(c *s3.Config) { c.Endpoint = "hunter22 example.com" },
		"ftp":            func(c *s3.Config) { c.Endpoint = "ftp://example.com" },
	} {
		c := good
		change(&c)
		_, err := s3.New(c)
		if err == nil || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
