package ui

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDescribeAgent(t *testing.T) {
	const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
	tests := []struct{ agent, words, icon string }{
		{"", "Unknown device", "terminal"},
		{"   ", "Unknown device", "terminal"},
		{"\x00\x01", "Unknown device", "terminal"},
		{sampleWindows, "Chrome on Windows", "laptop"},
		{sampleIPhone, "Safari on iPhone", "mobile"},
		{sampleWindows + " Edg/142.0.0.0", "Edge on Windows", "laptop"},
		{mac + "Version/18.6 Safari/605.1.15", "Safari on macOS", "laptop"},
		{mac + "Chrome/142.0.0.0 Safari/537.36 OPR/127.0", "Opera on macOS", "laptop"},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux", "laptop"},
		{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36", "Chrome on ChromeOS", "laptop"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/142.0.0.0 Safari/537.36", "Chrome (headless) on Linux", "laptop"},
		{"Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36", "Chrome on Android", "mobile"},
		{"Mozilla/5.0 (Linux; Android 15; SM-X910) AppleWebKit/537.36 SamsungBrowser/27.0 Chrome/125.0.0.0 Safari/537.36", "Samsung Internet on Android", "tablet"},
		{"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 CriOS/142.0 Mobile/15E148 Safari/604.1", "Chrome on iPad", "tablet"},
		{"Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 Chrome/94.0 Safari/537.36", "Chrome on Samsung TV", "tv"},
		{"Mozilla/5.0 (compatible; Nothing/1.0)", "Browser", "laptop"},
		{"AppleTV14,1/18.0", "AppleTV14,1 on Apple TV", "tv"},
		{"curl/8.14.1", "curl", "terminal"},
		{"Go-http-client/2.0", "Go program", "terminal"},
		{"python-requests/2.32.5", "Python program", "terminal"},
		{"acme-cli/1.4 (linux; amd64)", "acme-cli on Linux", "terminal"},
		{"Acme Notes/3.1 (Windows NT 10.0)", "Acme Notes on Windows", "terminal"},
	}
	for _, tt := range tests {
		if got := DescribeAgent(tt.agent); got.Words != tt.words || got.Icon != tt.icon {
			t.Errorf("%q: %+v, want %s (%s)", tt.agent, got, tt.words, tt.icon)
		}
	}
}

func FuzzDescribeAgent(f *testing.F) {
	f.Add(sampleWindows)
	f.Add(strings.Repeat("ö", 500))
	f.Add("\xff\xfe/1")
	f.Fuzz(func(t *testing.T, ua string) {
		got := DescribeAgent(ua)
		if got.Words == "" || got.Icon == "" || !utf8.ValidString(got.Words) || utf8.RuneCountInString(got.Words) > 2*maxProduct {
			t.Errorf("%q: %+v", ua, got)
		}
	})
}

func TestWhen(t *testing.T) {
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
		if got := (Base{Now: now}).When(now.Add(-tt.past)); got.Relative != tt.want {
			t.Errorf("%v: %q, want %q", tt.past, got.Relative, tt.want)
		}
	}
	if (Base{Now: now}).When(time.Time{}).Known() {
		t.Error("the zero time is shown")
	}
	m := Base{Zone: time.FixedZone("CET", 3600)}.When(now)
	if want := (Moment{"2026-11-21T14:05:00Z", "21 Nov 2026, 15:05 CET", "", false}); m != want {
		t.Errorf("%+v, want %+v", m, want)
	}
	m = Base{}.When(now)
	if want := (Moment{"2026-11-21T14:05:00Z", "21 Nov 2026, 14:05 UTC", "", true}); m != want {
		t.Errorf("without a time zone %+v, want %+v", m, want)
	}
}

func TestWaitingIsRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]string{
		20 * time.Second:               "Try again in 1 minute.",
		time.Minute + time.Millisecond: "Try again in 2 minutes.",
		30 * time.Minute:               "Try again in 30 minutes.",
		2 * time.Hour:                  "Try again in 120 minutes.",
		2*time.Hour + 59*time.Minute:   "Try again in 3 hours.",
		5*day + time.Second:            "Try again in 6 days.",
		100 * year:                     "Ask your administrator to unlock your account.",
	} {
		if got := waitWords(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
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
