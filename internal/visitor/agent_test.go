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

// Programs without a window have a plain name: their own, or the language that they are written in.
func TestDescribePrograms(t *testing.T) {
	for agent, words := range map[string]string{
		"curl/8.14.1": "curl",
		"curl/7.29.0 (x86_64-redhat-linux-gnu) libcurl/7.29.0 NSS/3.44": "curl on Linux",
		"Wget/1.21.4":                         "Wget",
		"HTTPie/3.2.4":                        "HTTPie",
		"xh/0.24.0":                           "xh",
		"PostmanRuntime/7.51.0":               "Postman",
		"insomnia/2023.5.8":                   "Insomnia",
		"gatehouse/0.2.0 (linux; amd64)":      "Gatehouse command line on Linux",
		"Go-http-client/1.1":                  "Go program",
		"Go-http-client/2.0":                  "Go program",
		"go-resty/2.16.5 (https://resty.dev)": "Go program",
		"python-requests/2.32.5":              "Python program",
		"Python-urllib/3.13":                  "Python program",
		"python-urllib3/2.5.0":                "Python program",
		"python-httpx/0.28.1":                 "Python program",
		"Python/3.13 aiohttp/3.13.2":          "Python program",
		"node":                                "Node.js program",
		"undici":                              "Node.js program",
		"axios/1.13.2":                        "Node.js program",
		"node-fetch/1.0 (+https://github.com/bitinn/x)": "Node.js program",
		"got (https://github.com/sindresorhus/got)":     "Node.js program",
		"Deno/2.5.6":                            "Deno program",
		"Bun/1.3.3":                             "Bun program",
		"Java/21.0.9":                           "Java program",
		"Java-http-client/25.0.1":               "Java program",
		"Apache-HttpClient/5.5.1 (Java/21.0.9)": "Java program",
		"okhttp/5.3.2":                          "Java program",
		"okhttp/4.12.0 (Linux; Android 16)":     "Java program on Android",
		"ktor-client":                           "Kotlin program",
		"Dart/3.10 (dart:io)":                   "Dart program",
		"Ruby":                                  "Ruby program",
		"rest-client/2.1.0 (linux x86_64) ruby/3.4.7p0": "Ruby program on Linux",
		"GuzzleHttp/7":              "PHP program",
		"Symfony HttpClient (Curl)": "PHP program",
		"ureq/3.1.4":                "Rust program",
		"libwww-perl/6.81":          "Perl program",
		"RestSharp/112.1.0.0":       ".NET program",
		"Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.26100.7019": "PowerShell on Windows",
		"Mozilla/5.0 (Linux; Ubuntu 24.04; en-US) PowerShell/7.5.4":                         "PowerShell on Linux",
		"kubectl/v1.34.2 (darwin/arm64) kubernetes/8cc511e":                                 "kubectl on macOS",
		"git/2.52.0": "git",
		"-":          "-",
	} {
		icon := "terminal"
		if strings.Contains(words, "Android") {
			icon = "mobile"
		}
		if got := Describe(agent); got.Words != words || got.Icon != icon {
			t.Errorf("%q: %+v, want %s (%s)", agent, got, words, icon)
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
