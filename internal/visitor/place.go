package visitor

import "strings"

// Places finds the places of IP addresses.
type Places interface {
	// Find returns the place of an address, or the zero Place if it is not known.
	Find(ip string) Place
}

// Place is where an address is, as far as a database knows. Names are in several languages.
type Place struct {
	Country   string            // ISO 3166-1 code, or ""
	Countries map[string]string // name of the country by language (BCP 47)
	Cities    map[string]string // name of the city by language
}

// Known reports whether anything is known.
func (p Place) Known() bool { return p.Country != "" || len(p.Countries) > 0 || len(p.Cities) > 0 }

// In returns the names of city and country in a language (BCP 47), or in English, or whichever
// there is. What is not known is "".
func (p Place) In(locale string) (city, country string) {
	country = named(p.Countries, locale)
	if country == "" {
		country = p.Country
	}
	return named(p.Cities, locale), country
}

// scripts are the tags of databases for languages that are written in several scripts.
var scripts = map[string]string{"zh": "zh-CN", "zh-Hans": "zh-CN", "pt": "pt-BR"}

// named returns a name in a language, its base language, or English.
func named(names map[string]string, locale string) string {
	base, _, _ := strings.Cut(locale, "-")
	for _, tag := range []string{locale, scripts[locale], base, scripts[base], "en"} {
		if name := names[tag]; tag != "" && name != "" {
			return name
		}
	}
	first := ""
	for tag := range names { // the same one each time
		if first == "" || tag < first {
			first = tag
		}
	}
	return names[first]
}
