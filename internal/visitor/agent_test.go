package visitor

import (
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	sampleWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	sampleIPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)

func TestDescribe(t *testing.T) {
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
		if got := Describe(tt.agent); got.Words != tt.words || got.Icon != tt.icon {
			t.Errorf("%q: %+v, want %s (%s)", tt.agent, got, tt.words, tt.icon)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add(sampleWindows)
	f.Add(strings.Repeat("ö", 500))
	f.Add("\xff\xfe/1")
	f.Fuzz(func(t *testing.T, ua string) {
		got := Describe(ua)
		if got.Words == "" || got.Icon == "" || !utf8.ValidString(got.Words) || utf8.RuneCountInString(got.Words) > 2*maxProduct {
			t.Errorf("%q: %+v", ua, got)
		}
	})
}

// Names are those of the person's language, or of its base, or English.
func TestPlaceIn(t *testing.T) {
	p := Place{
		Country:   "CN",
		Countries: map[string]string{"en": "China", "zh-CN": "中国", "pt-BR": "China (BR)", "de": "China"},
		Cities:    map[string]string{"en": "Cologne", "de": "Köln"},
	}
	for locale, want := range map[string][2]string{
		"de":      {"Köln", "China"},
		"de-CH":   {"Köln", "China"},
		"zh-Hans": {"Cologne", "中国"},
		"pt-PT":   {"Cologne", "China (BR)"},
		"":        {"Cologne", "China"},
		"xx":      {"Cologne", "China"},
	} {
		if city, country := p.In(locale); city != want[0] || country != want[1] {
			t.Errorf("%s: %s, %s", locale, city, country)
		}
	}
	if city, country := (Place{Country: "FR"}).In("de"); city != "" || country != "FR" {
		t.Errorf("a country without a name: %q, %q", city, country)
	}
	if _, country := (Place{Countries: map[string]string{"ru": "Россия", "ja": "ロシア"}}).In("de"); country != "ロシア" {
		t.Errorf("a name in other languages only: %q", country)
	}
	if (Place{}).Known() || !p.Known() {
		t.Error("Known")
	}
}
