package ui

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

func TestWhen(t *testing.T) {
	english := language(t, "en")
	now := time.Date(2026, time.November, 21, 14, 5, 0, 0, time.UTC)
	tests := []struct {
		past time.Duration
		want string
	}{
		{0, "just now"},
		{59 * time.Second, "just now"},
		{-30 * time.Second, "just now"},
		{time.Minute, "1 minute ago"},
		{2 * time.Hour, "2 hours ago"},
		{25 * time.Hour, "1 day ago"},
		{13 * day, "13 days ago"},
		{15 * day, "2 weeks ago"},
		{59 * day, "8 weeks ago"},
		{70 * day, "2 months ago"},
		{800 * day, "2 years ago"},
		{-3 * time.Hour, "in 3 hours"},
	}
	for _, tt := range tests {
		if got := (Base{Now: now, texts: english}).When(now.Add(-tt.past)); got.Relative != tt.want {
			t.Errorf("%v: %q, want %q", tt.past, got.Relative, tt.want)
		}
	}
	if (Base{Now: now, texts: english}).When(time.Time{}).Known() {
		t.Error("the zero time is shown")
	}
	m := Base{Zone: time.FixedZone("CET", 3600), texts: english}.When(now)
	if want := (Moment{"2026-11-21T14:05:00Z", "21 Nov 2026, 15:05 CET", "", false, ""}); m != want {
		t.Errorf("%+v, want %+v", m, want)
	}
	m = Base{texts: english}.When(now)
	if want := (Moment{"2026-11-21T14:05:00Z", "21 Nov 2026, 14:05 UTC", "", true, ""}); m != want {
		t.Errorf("without a time zone %+v, want %+v", m, want)
	}
}

func TestWaitingIsRoundedUp(t *testing.T) {
	b := Base{texts: language(t, "en")}
	for d, want := range map[time.Duration]string{
		20 * time.Second:               "Try again in 1 minute.",
		time.Minute + time.Millisecond: "Try again in 2 minutes.",
		30 * time.Minute:               "Try again in 30 minutes.",
		2 * time.Hour:                  "Try again in 120 minutes.",
		2*time.Hour + 59*time.Minute:   "Try again in 3 hours.",
		5*day + time.Second:            "Try again in 6 days.",
		100 * year:                     "Ask your administrator to unlock your account.",
	} {
		if got := b.waitWords(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// language returns the texts of a language.
func language(t *testing.T, tag string) *text.Texts {
	t.Helper()
	c, err := text.Load()
	testkit.Must(t, err)
	return c.For(tag)
}

func TestInitials(t *testing.T) {
	for name, want := range map[string]string{
		"Ada Lovelace": "AL", "ada@example.com": "A", "ada.king@example.com": "A", "": "?", "  ": "?", "Žofie": "Ž",
		"Jean-Luc Picard": "JP", "O'Neil": "O", "日本 太郎": "日太", "<b>": "B",
	} {
		if got := Initials(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := (ClientView{Name: "Žlutý kůň"}).Initial(); got != "Ž" {
		t.Errorf("%q", got)
	}
}
