package login

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// RFC 6238 appendix B, the rows of SHA-1.
func TestRFC6238Vectors(t *testing.T) {
	for at, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471",
		1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		if got := totpAt([]byte("12345678901234567890"), at/totpPeriod, 8); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
		if got := totpAt([]byte("12345678901234567890"), at/totpPeriod, totpDigits); got != want[2:] {
			t.Errorf("at %d: %s, want %s", at, got, want[2:])
		}
	}
}

func TestCodesAsPeopleTypeThem(t *testing.T) {
	for in, want := range map[string]string{
		"123456": "123456", " 123 456\n": "123456", "123-456": "123456", "１２３４５６": "123456", "123\u00a0456": "123456",
		"12345": "", "1234567": "", "12345a": "", "": "", "٣٤٥٦٧٨": "", strings.Repeat(" ", 60) + "123456": "",
	} {
		if got, ok := totpCode(in); got != want || ok != (want != "") {
			t.Errorf("%q read as %q", in, got)
		}
	}
	for in, want := range map[string]string{
		"abcde-fgh23": "abcdefgh23", "ABCDE FGH23": "abcdefgh23", "oilab-cdefg": "011abcdefg",
		"abcde-fgh2": "", "abcde-fghu2": "", "123456": "", "abcde-fgh23x": "",
	} {
		if got, ok := backupCode(in); got != want || ok != (want != "") {
			t.Errorf("%q read as %q", in, got)
		}
	}
}

func TestEveryInputIsClaimedOnce(t *testing.T) {
	h := newHarness(t)
	for _, in := range []string{"123456", "abcde-fgh23", "12345-67890"} {
		n := 0
		for _, f := range h.s.factors {
			if f.Use()&(UseSecond|UseSubstitute) != 0 && f.CheckInput(url.Values{"code": {in}}) == nil {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%q is claimed by %d factors", in, n)
		}
	}
}

func FuzzCode(f *testing.F) {
	for _, s := range []string{"123456", "123 456", "abcde-fgh23", "\xff", "１２３４５６", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if code, ok := totpCode(in); ok && (len(code) != totpDigits || strings.Trim(code, "0123456789") != "") {
			t.Errorf("%q read as %q", in, code)
		}
		if code, ok := backupCode(in); ok {
			if again, ok := backupCode(code); !ok || again != code || strings.Trim(code, backupAlphabet) != "" {
				t.Errorf("%q read as %q", in, code)
			}
		}
	})
}

func FuzzPending(f *testing.F) {
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", secret.MinMaster)))
	if err != nil {
		f.Fatal(err)
	}
	s := build(Config{}, newMemory(), keys, &fakeHasher{})
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	good := s.seal(
		Visit{Now: now},
		&signIn{user: &identity.User{ID: "u"}, step: StepFactor, kind: kindTOTP, amr: []string{"pwd"}},
	)
	f.Add(good, `{"u":"u","n":"factor","k":"totp","i":1}`)
	f.Add(good[:20], `{"i":"x"}`)
	f.Add("", "null")
	f.Fuzz(func(t *testing.T, sealed, plain string) {
		if p, err := s.unseal(now, sealed); err == nil && p.User != "u" { // the seed itself opens
			t.Errorf("%q opens", sealed)
		}
		for _, in := range []string{sealed, s.pending.Seal([]byte(plain), pendingContext), s.pending.Seal([]byte(plain), "another context")} {
			if _, err := s.unseal(now, in); err != nil && !fault.Is(err, fault.Consumed) {
				t.Errorf("error %v", err)
			}
		}
		if len(plain) < 1000 {
			if _, err := s.unseal(now, s.pending.Seal([]byte(plain), "another context")); err == nil {
				t.Error("sealed for another use, and opens")
			}
		}
	})
}
