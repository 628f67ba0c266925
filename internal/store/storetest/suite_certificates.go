package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func certificateCases() []testCase {
	return []testCase{{"Certificate files", (*suite).certificateFiles}}
}

// certificateFiles tests that entries have exactly the names below a name, whatever characters the
// names have.
func (s *suite) certificateFiles(t *testing.T) {
	ctx := t.Context()
	for _, name := range []string{"acme/a_b/x", "acme/a_b/y/z", "acme/aXb/x", "acme/a_bc", "other"} {
		testkit.Must(t, s.db.PutCertificateFile(ctx, name, "1", s.now))
	}
	later := s.now.Add(time.Hour)
	testkit.Must(t, s.db.PutCertificateFile(ctx, "other", "2", later))
	value, at, err := s.db.CertificateFile(ctx, "other")
	testkit.Must(t, err)
	if value != "2" || !at.Equal(later) {
		t.Errorf("%q of %v", value, at)
	}
	for below, want := range map[string]string{
		"":         "acme/aXb/x acme/a_b/x acme/a_b/y/z acme/a_bc other",
		"acme/a_b": "acme/a_b/x acme/a_b/y/z",
		"acme/":    "acme/aXb/x acme/a_b/x acme/a_b/y/z acme/a_bc",
		"nothing":  "",
	} {
		names, err := s.db.CertificateFiles(ctx, below)
		testkit.Must(t, err)
		testkit.Equal(t, "names below "+below, strings.Join(names, " "), want)
	}
	testkit.Must(t, s.db.DeleteCertificateFiles(ctx, "acme/a_b"))
	testkit.Must(t, s.db.DeleteCertificateFiles(ctx, "other"))
	testkit.Must(t, s.db.DeleteCertificateFiles(ctx, "other"))
	names, err := s.db.CertificateFiles(ctx, "")
	testkit.Must(t, err)
	testkit.Equal(t, "what is left", strings.Join(names, " "), "acme/aXb/x acme/a_bc")
	if _, _, err := s.db.CertificateFile(ctx, "acme/a_b/x"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a deleted entry: %v", err)
	}
}
