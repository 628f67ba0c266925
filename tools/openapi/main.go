// Command openapi makes one OpenAPI 3.1 document of the fragments in internal/web/api/spec, and Go
// code of the document: the server's interface in internal/web/api/gen, the types and the client in
// management. With -check it writes nothing, and fails if something is out of date.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	specDir  = "internal/web/api/spec"
	document = "internal/web/api/gen/openapi.json"
)

// output is a generated file.
type output struct {
	path   string // below the root of the module
	config string // of the generator
}

func outputs() []output {
	return []output{
		{"internal/web/api/gen/server.gen.go", "tools/openapi/server.yaml"},
		{"management/client.gen.go", "tools/openapi/client.yaml"},
	}
}

func main() {
	check := flag.Bool("check", false, "fail if a generated file is out of date, and write nothing")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	doc, err := readSpec(specDir)
	if err != nil {
		return err
	}
	served, err := encode(doc)
	if err != nil {
		return err
	}
	files := map[string][]byte{document: served}
	work, err := os.MkdirTemp("", "openapi-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, o := range outputs() {
		input := renamed(doc)
		if strings.HasSuffix(o.config, "server.yaml") {
			input = serverDocument(input)
		}
		raw, err := encode(input)
		if err != nil {
			return err
		}
		if files[o.path], err = generate(work, o, raw); err != nil {
			return err
		}
	}
	return place(files, check)
}

// moduleRoot returns the folder of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	return filepath.Dir(strings.TrimSpace(string(out))), err
}

// encode returns a document as JSON with members in alphabetical order.
func encode(doc any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(doc)
	return b.Bytes(), err
}

// generate runs the generator on a document.
func generate(work string, o output, doc []byte) ([]byte, error) {
	in := filepath.Join(work, "openapi.json")
	if err := os.WriteFile(in, doc, 0o600); err != nil {
		return nil, err
	}
	out := filepath.Join(work, filepath.Base(o.path))
	cmd := exec.Command("go", "tool", "-modfile=tools/lint.mod", "oapi-codegen",
		"-config", o.config, "-o", out, in)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", o.path, err)
	}
	return os.ReadFile(out)
}

// place writes the files that differ, or with check names them.
func place(files map[string][]byte, check bool) error {
	var stale []string
	for path, content := range files {
		old, err := os.ReadFile(path)
		if err == nil && bytes.Equal(old, content) {
			continue
		}
		stale = append(stale, path)
		if check {
			continue
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	if check && len(stale) > 0 {
		return fmt.Errorf("%s: out of date; run: go generate ./internal/web/api",
			strings.Join(stale, ", "))
	}
	return nil
}
