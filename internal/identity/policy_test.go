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

func TestPolicyRejectsEachRule(t *testing.T) {
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
		{"undefined", strict, "Tr4verse-the-\U000e0fff-Quiet-Valley", "does not define"},
		{"noncharacter", strict, "Tr4verse-the-\uffff-Quiet-Valley", "does not define"},
		{"private use", strict, "Tr4verse-the-\ue000-Quiet-Valley", "does not define"},
		{"too long", strict, "Tr4verse-" + strings.Repeat("xyqvw", 300), "at most 1024 bytes"},
		{"grows too long", strict, strings.Repeat("\U0001d160", 200), "at most 1024 bytes"},
		{"not text", strict, "Tr4verse-\xff\xfe-Quiet", "UTF-8"},
		{"listed", common, "iloveyou", "common password"},
		{"listed with capitals", common, "ILoveYou", "common password"},
		{"listed with digits", common, "Password2026!", "common password"},
		{"listed with swaps", common, "P@ssw0rd!!99", "common password"},
		{"two listed", common, "SummerGarden12", "common password"},
		{"one character", common, "aaaaaaaaaaaaaa", "same characters"},
		{"two characters", common, "axaxaxaxaxaxax", "same characters"},
		{"digits in order", common, "12345678901234", "common password"},
		{"alphabet", common, "Abcdefghijklm1", "Sequences such as"},
		{"backwards", common, "zyxwvutsrqpo!", "Sequences such as"},
		{"keyboard", common, "qwertyuiopasdfg", "common password"},
		{"keyboard columns", common, "1qaz2wsx3edc", "common password"},
		{"again and again", common, "kx7vmqkx7vmqkx7vmq", "same characters"},
		{"keys in a row", common, "=-098765tgbvf", "Keyboard patterns"},
		{"dates", common, "20/11/1998", "Dates"},
		{"a name", common, "Jacqueline99", "Names"},
		{"a word", common, "refrigerator1", "common word"},
		{"local part", common, "xx-Alice.Smith-77q", "alice.smith"},
		{"username", common, "wonderland-lewis9", "lewis9"},
		{"swapped username", common, "wonder-l3w1s9-land", "lewis9"},
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

// Words near the account make a password weaker, whether or not they may be part of it.
func TestPolicyPenalizesThePersonsWords(t *testing.T) {
	policy := identity.Policy{MinLength: 8, Common: true}
	u := &identity.User{
		Email: "ada@widgetworks.example", Name: "Ada Zerberoff", GivenName: "Augusta", FamilyName: "Zerberoff",
	}
	for _, password := range []string{"Zerberoff2026", "widgetworks!!1", "Augusta.Zerberoff", "Initech-2026"} {
		if len(policy.CheckFor(u, password, "id.initech.example")) == 0 {
			t.Errorf("%q is accepted for %s at Initech", password, u.Name)
		}
		if wrong := policy.CheckFor(&identity.User{Username: "bob"}, password, "example.org"); len(wrong) > 0 && password != "Augusta.Zerberoff" && password != "Initech-2026" {
			t.Errorf("%q is rejected for somebody else: %q", password, wrong)
		}
	}
	if wrong := policy.CheckFor(u, "Zerberoff rows past 7 lighthouses", "id.initech.example"); len(wrong) > 0 {
		t.Errorf("a long password with a name in it is rejected: %q", wrong)
	}
}

func TestPolicyRejectsTheOperatorsList(t *testing.T) {
	list := identity.NewPasswordList("# ours\n\n  Krummhornquartett \nzugspitzplatt\r\n")
	policy := identity.Policy{MinLength: 8, Common: true, List: list}
	for _, password := range []string{"krummhornquartett", "KRUMMHORNQUARTETT-2026!", "Zugsp1tzpl@tt", "  "} {
		if len(policy.Check(password)) == 0 {
			t.Errorf("%q is accepted", password)
		}
	}
	for _, password := range []string{"# ours and a few words more", "Krummhornquartett in the Zugspitz valley"} {
		if wrong := policy.Check(password); len(wrong) > 0 {
			t.Errorf("%q is rejected: %q", password, wrong)
		}
	}
	policy.Common = false
	if wrong := policy.Check("krummhornquartett"); len(wrong) > 0 {
		t.Errorf("the check is off, and yet: %q", wrong)
	}
}

// What is wrong with a password is logged, so that it must not tell the password.
func TestPolicySentencesDoNotRepeatThePassword(t *testing.T) {
	for _, password := range []string{"monkey", "kitten2026", "qwfpgjluy", "19981120", "abcabcabc", "SummerGarden"} {
		for _, sentence := range strict.Check(password, "alice@example.com") {
			for i := range len(password) - 4 {
				if strings.Contains(strings.ToLower(sentence), strings.ToLower(password[i:i+5])) {
					t.Errorf("%q is told by %q", password, sentence)
				}
			}
		}
	}
}

func TestPolicyTellsEverythingAtOnce(t *testing.T) {
	if wrong := strict.Check("kitten"); len(wrong) != 5 {
		t.Errorf("got %d sentences, want 5 (length, upper, number, special, common): %q", len(wrong), wrong)
	}
}

func TestPolicyRulesDescribeThePolicy(t *testing.T) {
	if got := strict.Rules(); len(got) != 6 {
		t.Errorf("strict policy described in %d sentences: %v", len(got), got)
	}
	if got := (identity.Policy{MinLength: 12}).Rules(); len(got) != 1 || got[0] != (identity.Rule{Code: "length", Count: 12, Text: "At least 12 characters."}) {
		t.Errorf("plain policy described as %v", got)
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

// The examples of RFC 8265 §4.3, and the ways of typing that are one password or two.
func TestPasswordsAreComparedByRFC8265(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"Caf\u00e9-12", "Cafe\u0301-12", true},
		{"correct horse battery staple", "Correct Horse Battery Staple", false},
		{"\u03c0\u00df\u00e5", "\u03c0\u00df\u0061\u030a", true},
		{"Jack of \u2666s", "Jack of \u2666S", false},
		{"foo\u1680bar", "foo bar", true}, // OGHAM SPACE MARK
		{"foo\u3000bar\u00a0x", "foo bar x", true},
		{" foo ", "foo", false},
		{"\uff21\uff11", "A1", false},
		{"\ufb01sh", "fish", false},
		{"x\u00b2", "x2", false},
	} {
		if got := identity.NormalizePassword(tt.a) == identity.NormalizePassword(tt.b); got != tt.same {
			t.Errorf("%q and %q: the same %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}

// A password of other widths is as easy to guess as the ordinary one.
func TestPolicyLooksThroughCompatibleCharacters(t *testing.T) {
	policy := identity.Policy{MinLength: 8, Common: true}
	for _, password := range []string{
		"\uff49\uff4c\uff4f\uff56\uff45\uff59\uff4f\uff55", "xx-\uff41lice.smith-77q",
	} {
		if len(policy.Check(password, "alice.smith@example.com")) == 0 {
			t.Errorf("%q is accepted", password)
		}
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

// The estimate takes time that grows faster than the length of the password, and with the number of
// signs that may stand for letters.
func BenchmarkPolicy(b *testing.B) {
	policy := identity.Policy{MinLength: 8, Common: true}
	for name, password := range map[string]string{
		"usual":    "Tr4verse-the-Quiet-Valley",
		"long":     strings.Repeat("a", identity.MaxPassword),
		"signs":    strings.Repeat("4@8({[<369&#!1/|0$5+7%2", 40),
		"words":    strings.Repeat("password", 120),
		"readings": strings.Repeat("4(1!5$7", 140),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				policy.Check(password, "alice@example.com", "gatehouse")
			}
		})
	}
}
