package app

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"log"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// RFC 9325 §4.2: TLS 1.2 has only suites with forward secrecy and authenticated encryption.
func TestTLS12SuitesAreThoseOfBCP195(t *testing.T) {
	for _, s := range tls.InsecureCipherSuites() {
		if slices.Contains(tls12Suites(), s.ID) {
			t.Errorf("%s is insecure", s.Name)
		}
	}
	for _, id := range tls12Suites() {
		name := tls.CipherSuiteName(id)
		if !strings.HasPrefix(name, "TLS_ECDHE_") || strings.HasSuffix(name, "_CBC_SHA") ||
			!strings.Contains(name, "GCM") && !strings.Contains(name, "POLY1305") {
			t.Errorf("%s is offered", name)
		}
	}
}

// What Go's own packages log becomes a record, without the bytes that they quote.
func TestStandardLogIsStructured(t *testing.T) {
	var out bytes.Buffer
	restore := catchStandardLog(slog.New(slog.NewJSONHandler(&out, nil)))
	log.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "X-Auth-Info: eyJ", nil)
	restore()
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if line["level"] != "WARN" || strings.Contains(out.String(), "eyJ") ||
		!strings.Contains(out.String(), "Unsolicited response") {
		t.Error(out.String())
	}
}
