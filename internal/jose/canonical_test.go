package jose

import (
	"encoding/base64"
	"strings"
	"testing"
)

// canonical agrees with the strict decoder of the standard library about every part.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"", "AA", "AB", "AAA", "AAB", "AAAA", "A", "AA\n", "AA==", "A+", "-_-_", "ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, part string) {
		if strings.Contains(part, ".") {
			return
		}
		_, err := base64.RawURLEncoding.Strict().DecodeString(part)
		want := err == nil && !strings.ContainsAny(part, "\r\n")
		if got := canonical("AAAA." + part + ".AAAA"); got != want {
			t.Errorf("%q: %v, want %v", part, got, want)
		}
	})
}
