// Package visitor describes where a request comes from: the device that its User-Agent header
// names, and the place of its address. Both only help people to recognize their own sign-ins.
package visitor

import (
	"cmp"
	"strings"
	"unicode"
)

// Agent is what a User-Agent header says about a device.
type Agent struct {
	Words   string // in English: "Chrome on Windows"
	Program string // "Chrome", or ""
	System  string // "Windows", or ""
	Icon    string // laptop, mobile, tablet, tv, terminal
}

// Known reports whether the header says anything about the device.
func (a Agent) Known() bool { return a.Program != "" || a.System != "" }

// maxProduct is how many characters of an unknown program's own name are shown.
const maxProduct = 40

// powerShell is the one program without a window that calls itself a browser.
const powerShell = "PowerShell"

// Describe returns the program and the system that a User-Agent header names. It only helps
// people to recognize their devices: senders write what they like, so no decision may depend on it.
func Describe(ua string) Agent {
	ua = strings.TrimSpace(ua)
	unknown := Agent{Words: "Unknown device", Icon: "terminal"}
	if ua == "" {
		return unknown
	}
	system, icon := agentSystem(ua)
	program := agentProgram(ua)
	switch {
	case program == "" || program == powerShell:
		program = cmp.Or(program, productName(ua))
		if icon == "" || icon == "laptop" {
			icon = "terminal"
		}
	case icon == "":
		icon = "laptop"
	}
	a := Agent{Words: program + " on " + system, Program: program, System: system, Icon: icon}
	switch {
	case program == "" && system == "":
		a.Words, a.Icon = unknown.Words, unknown.Icon
	case program == "":
		a.Words = system
	case system == "":
		a.Words = program
	}
	return a
}

// agentSystem returns the operating system. Systems whose headers also name another one come first.
func agentSystem(ua string) (name, icon string) {
	systems := [...]struct{ token, name, icon string }{
		{"AppleTV", "Apple TV", "tv"},
		{"Apple TV", "Apple TV", "tv"},
		{"Tizen", "Samsung TV", "tv"},
		{"Web0S", "LG TV", "tv"},
		{"webOS", "LG TV", "tv"},
		{"AFTS", "Fire TV", "tv"},
		{"Roku", "Roku", "tv"},
		{"PlayStation", "PlayStation", "tv"},
		{"Xbox", "Xbox", "tv"},
		{"iPhone", "iPhone", "mobile"},
		{"iPad", "iPad", "tablet"},
		{"Android TV", "Android TV", "tv"},
		{"Android", "Android", "mobile"},
		{"CrOS", "ChromeOS", "laptop"},
		{"Windows", "Windows", "laptop"},
		{"Macintosh", "macOS", "laptop"},
		{"Mac OS X", "macOS", "laptop"},
		{"Darwin", "macOS", "laptop"},
		{"darwin", "macOS", "laptop"},
		{"Linux", "Linux", "laptop"},
		{"linux", "Linux", "laptop"},
		{"FreeBSD", "FreeBSD", "laptop"},
		{"OpenBSD", "OpenBSD", "laptop"},
	}
	for _, s := range systems {
		if strings.Contains(ua, s.token) {
			browser := strings.HasPrefix(ua, "Mozilla/")
			if s.name == "Android" && browser && !strings.Contains(ua, "Mobile") {
				return s.name, "tablet" // browsers on Android tablets leave out the word Mobile
			}
			return s.name, s.icon
		}
	}
	return "", ""
}

// agentProgram returns the browser, or "" for other programs. Nearly every browser also calls
// itself Chrome or Safari, so these come last.
func agentProgram(ua string) string {
	if !strings.HasPrefix(ua, "Mozilla/") {
		return ""
	}
	programs := [...]struct{ token, name string }{
		{"PowerShell/", powerShell},
		{"Edg/", "Edge"},
		{"EdgA/", "Edge"},
		{"EdgiOS/", "Edge"},
		{"OPR/", "Opera"},
		{"OPT/", "Opera"},
		{"SamsungBrowser/", "Samsung Internet"},
		{"Vivaldi/", "Vivaldi"},
		{"YaBrowser/", "Yandex Browser"},
		{"DuckDuckGo/", "DuckDuckGo"},
		{"FxiOS/", "Firefox"},
		{"Firefox/", "Firefox"},
		{"CriOS/", "Chrome"},
		{"HeadlessChrome/", "Chrome (headless)"},
		{"Electron/", "Desktop app"},
		{"Chromium/", "Chromium"},
		{"Chrome/", "Chrome"},
		{"Safari/", "Safari"},
		{"Trident/", "Internet Explorer"},
	}
	for _, p := range programs {
		if strings.Contains(ua, p.token) {
			return p.name
		}
	}
	return "Browser"
}

// productName returns what a program other than a browser calls itself: the first product's name
// (RFC 9110 §10.1.5). Names of libraries say little to people: they become a program in a language.
func productName(ua string) string {
	product, _, _ := strings.Cut(ua, "/")
	product, _, _ = strings.Cut(product, "(")
	product = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(product, ""))
	product = strings.TrimSpace(product)
	if name := knownProduct(strings.ToLower(product)); name != "" {
		return name
	}
	if runes := []rune(product); len(runes) > maxProduct {
		return strings.TrimSpace(string(runes[:maxProduct])) + "…"
	}
	return product
}

// knownProduct returns the plain name of a program that calls itself product, in lower case, or "".
func knownProduct(product string) string {
	switch product {
	case "curl":
		return "curl"
	case "wget", "wget2":
		return "Wget"
	case "httpie":
		return "HTTPie"
	case "xh":
		return "xh"
	case "postmanruntime":
		return "Postman"
	case "insomnia":
		return "Insomnia"
	case "bruno", "bruno-runtime":
		return "Bruno"
	case "gatehouse":
		return "Gatehouse command line"
	}
	if language := libraryLanguage(product); language != "" {
		return language + " program"
	}
	return ""
}

// libraryLanguage returns the programming language of a library that calls itself product, in lower
// case, or "".
func libraryLanguage(product string) string {
	switch product {
	case "go-http-client", "go-resty", "fasthttp":
		return "Go"
	case "python-requests", "python-urllib", "python-urllib3", "python-httpx", "aiohttp", "python":
		return "Python"
	case "node", "node.js", "undici", "axios", "node-fetch", "node-superagent", "got":
		return "Node.js"
	case "deno":
		return "Deno"
	case "bun":
		return "Bun"
	case "java", "java-http-client", "apache-httpclient", "okhttp", "ahc", "jersey", "reactornetty",
		"unirest-java", "jakarta commons-httpclient":
		return "Java"
	case "ktor-client", "ktor client", "ktor http-client":
		return "Kotlin"
	case "dart":
		return "Dart"
	case "ruby", "rest-client", "http.rb":
		return "Ruby"
	case "guzzlehttp", "php", "symfony httpclient":
		return "PHP"
	case "reqwest", "ureq":
		return "Rust"
	case "libwww-perl", "lwp-request", "http-tiny", "mojolicious":
		return "Perl"
	case "restsharp":
		return ".NET"
	}
	return ""
}
