package identity_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/identity"
)

var strict = identity.Policy{MinLength: 12, Upper: true, Lower: true, Number: true, Special: true, Common: true}

func TestPolicyAccepts(t *testing.T) {
	for _, password := range []string{
		"Tr4verse-the-Quiet-Valley",
		"k8$Vw!zQ2#nLp",
		"Три веселых 7 бобра",
		"Ünder 3 Brücken gehst du!",
		"8239-4719-3847-God",
		strings.Repeat("Qx7!mb ", 20) + "end",
	} {
		if wrong := strict.Check(password, "alice@example.com", "alice", "gatehouse"); len(wrong) != 0 {
			t.Errorf("%q refused: %q", password, wrong)
		}
	}
}

func TestPolicyRefusesEachRule(t *testing.T) {
	common := identity.Policy{MinLength: 8, Common: true}
	for _, tt := range []struct {
		name     string
		policy   identity.Policy
		password string
		want     string
	}{
		{"empty", identity.Policy{}, "", "at least 1 char"},
		{"short", strict, "Ab1!xyzqw", "at least 12"},
		{"no upper", strict, "tr4verse-the-quiet-valley", "upper-case"},
		{"no lower", strict, "TR4VERSE-THE-QUIET-VALLEY", "lower-case"},
		{"no number", strict, "Traverse-the-Quiet-Valley", "number"},
		{"no special", strict, "Tr4versetheQuietValley", "special"},
		{"control", strict, "Tr4verse-the-\x00Quiet-Valley", "control"},
		{"too long", strict, "Tr4verse-" + strings.Repeat("xyqvw", 300), "at most 1024 bytes"},
		{"grows too long", strict, strings.Repeat("\ufdfa", 200), "at most 1024 bytes"},
		{"not text", strict, "Tr4verse-\xff\xfe-Quiet", "UTF-8"},
		{"listed", common, "iloveyou", "guessed first"},
		{"listed with capitals", common, "ILoveYou", "guessed first"},
		{"listed with digits", common, "Password2026!", "guessed first"},
		{"listed with swaps", common, "P@ssw0rd!!99", "guessed first"},
		{"two listed", common, "Summer-Garden-12", "guessed first"},
		{"one character", common, "aaaaaaaaaaaaaa", "different characters"},
		{"two characters", common, "axaxaxaxaxaxax", "different characters"},
		{"digits in order", common, "12345678901234", "rows"},
		{"alphabet", common, "Abcdefghijklm1", "rows"},
		{"backwards", common, "zyxwvutsrqpo!", "rows"},
		{"keyboard", common, "qwertyuiopasdfg", "rows"},
		{"keyboard columns", common, "1qaz2wsx3edc", "rows"},
		{"again and again", common, "kx7vmqkx7vmqkx7vmq", "repeating"},
		{"local part", common, "xx-Alice.Smith-77q", "alice.smith"},
		{"user name", common, "wonderland-lewis9", "lewis9"},
		{"swapped user name", common, "wonder-l3w1s9-land", "lewis9"},
		{"product", common, "my-gatehouse-pw-8", "gatehouse"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wrong := tt.policy.Check(tt.password, "alice.smith@example.com", "lewis9", "gatehouse", "", "al")
			if !strings.Contains(strings.Join(wrong, "\n"), tt.want) {
				t.Errorf("%q: got %q, want a sentence with %q", tt.password, wrong, tt.want)
			}
		})
	}
}

func TestPolicyTellsEverythingAtOnce(t *testing.T) {
	if wrong := strict.Check("kitten"); len(wrong) != 5 {
		t.Errorf("got %d sentences, want 5 (length, upper, number, special, common): %q", len(wrong), wrong)
	}
}

func TestPolicyRulesDescribeThePolicy(t *testing.T) {
	if got := strict.Rules(); len(got) != 6 {
		t.Errorf("strict policy described in %d sentences: %q", len(got), got)
	}
	if got := (identity.Policy{MinLength: 12}).Rules(); len(got) != 1 || !strings.Contains(got[0], "12") {
		t.Errorf("plain policy described as %q", got)
	}
}

func TestPolicyCountsCharactersNotBytes(t *testing.T) {
	if wrong := (identity.Policy{MinLength: 6}).Check("приве"); len(wrong) != 1 {
		t.Errorf("five characters in ten bytes: %q", wrong)
	}
	if wrong := (identity.Policy{MinLength: 6}).Check("привет"); len(wrong) != 0 {
		t.Errorf("six characters: %q", wrong)
	}
}

func TestNormalPasswordJoinsWaysOfTyping(t *testing.T) {
	composed, apart, wide := "Caf\u00e9-12", "Cafe\u0301-12", "Caf\u00e9-\uff11\uff12"
	if identity.NormalizePassword(composed) != identity.NormalizePassword(apart) || identity.NormalizePassword(composed) != identity.NormalizePassword(wide) {
		t.Error("three ways to type one password give different passwords")
	}
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"", "Password2026!", "\xff", "12345678901234", "\ufdfa\ufdfa", "Tr4verse-the-Quiet-Valley"} {
		f.Add(s, "alice@example.com")
	}
	f.Fuzz(func(t *testing.T, password, name string) {
		wrong := strict.Check(password, name)
		if len(wrong) > 0 {
			return
		}
		n := identity.NormalizePassword(password)
		if !utf8.ValidString(password) || len(n) > identity.MaxPassword || utf8.RuneCountInString(n) < 12 {
			t.Errorf("accepted %q", password)
		}
		if again := strict.Check(n, name); len(again) > 0 {
			t.Errorf("%q accepted, its normal form refused: %q", password, again)
		}
	})
}
