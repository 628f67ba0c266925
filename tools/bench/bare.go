package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// bareMain runs the yardstick, in a process of its own: a net/http server that parses the form and
// then gives one recorded answer, byte for byte. Args are the address to listen on and the file
// with the answer.
func bareMain(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench bare ADDRESS FILE")
	}
	raw, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return err
	}
	return listenAndServe(args[0], bareHandler(&a))
}

// bareHandler returns a handler that gives one answer to every request.
func bareHandler(a *answer) http.Handler {
	header := a.Header.Clone()
	for _, name := range []string{"Date", "Connection", "Transfer-Encoding"} { // net/http's own to say
		header.Del(name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, "no form", http.StatusBadRequest)
			return
		}
		h := w.Header()
		for name, values := range header {
			h[name] = values
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	})
}

// startBare starts the yardstick with an answer of the real server.
func startBare(ctx context.Context, dir string, a *answer) (*server, error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "answer.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return nil, err
	}
	return startPart(ctx, dir, partBare, file)
}

// plainEnviron returns the environment without the settings of a server, which a developer's shell
// may have set.
func plainEnviron() []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG"} {
		if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// sameAnswer reports where a bare answer differs from the recorded one; it must not, or the
// comparison is none.
func sameAnswer(real, bare *answer) error {
	if err := sameBody(real, bare); err != nil {
		return err
	}
	for name := range real.Header {
		if name != "Date" && name != "Connection" && strings.Join(real.Header[name], ",") != strings.Join(bare.Header[name], ",") {
			return fmt.Errorf("the bare server's %s differs", name)
		}
	}
	return nil
}

// sameBody compares like sameAnswer, without the headers, in which proxies differ.
func sameBody(real, bare *answer) error {
	if real.Status != bare.Status || string(real.Body) != string(bare.Body) {
		return fmt.Errorf("the bare server answers %d with %d bytes, the real one %d with %d", bare.Status, len(bare.Body), real.Status, len(real.Body))
	}
	return nil
}
