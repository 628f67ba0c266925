package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Two builds of the same program are the same bytes.
func TestImageIsReproducible(t *testing.T) {
	dir := t.TempDir()
	program, out := filepath.Join(dir, "program"), filepath.Join(dir, "image.tar")
	testkit.Must(t, os.WriteFile(program, []byte("a program"), 0o755))
	var built [2][]byte
	for i := range built {
		testkit.Must(t, build(out, "gatehouse:test", []string{"linux/" + runtime.GOARCH}, "v1", program))
		var err error
		built[i], err = os.ReadFile(out)
		testkit.Must(t, err)
	}
	if !bytes.Equal(built[0], built[1]) {
		t.Error("two builds differ")
	}
}
