package oauth

import (
	"strings"
	"testing"
)

// RFC 8628 §6.1.
func TestParseUserCode(t *testing.T) {
	for in, want := range map[string]string{
		"WDJB-MJHT": "WDJBMJHT", "wdjb mjht": "WDJBMJHT", "w.d.j.b.m.j.h.t": "WDJBMJHT", "WDJB—MJHT": "WDJBMJHT",
		"WDJB-MJH": "", "WDJB-MJHTT": "", "WDJB-MJHA": "", "WDJB-MJH1": "", "": "", "WDJB_MJHT": "", "ẞDJB-MJHT": "",
	} {
		got, ok := ParseUserCode(in)
		if ok != (want != "") || (ok && got != want) {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

func TestNewUserCode(t *testing.T) {
	drawn := map[byte]int{}
	for range 2000 {
		code := NewUserCode()
		if back, ok := ParseUserCode(FormatUserCode(code)); !ok || back != code {
			t.Fatalf("%q does not read back", code)
		}
		for i := range code {
			drawn[code[i]]++
		}
	}
	for _, c := range []byte(userCodeAlphabet) { // 16000 letters, 800 expected of each
		if n := drawn[c]; n < 600 || n > 1000 {
			t.Errorf("%c was drawn %d times", c, n)
		}
	}
}

func FuzzParseUserCode(f *testing.F) {
	for _, s := range []string{"WDJB-MJHT", "wdjb mjht", "ı", "K", strings.Repeat("B", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, ok := ParseUserCode(s)
		if !ok {
			return
		}
		if len(code) != userCodeLen || strings.Trim(code, userCodeAlphabet) != "" {
			t.Fatalf("%q is read as %q", s, code)
		}
		if again, ok := ParseUserCode(FormatUserCode(code)); !ok || again != code {
			t.Fatalf("%q does not read back", code)
		}
	})
}
