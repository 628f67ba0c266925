package web

import (
	"net/http"

	"golang.org/x/text/language"
)

// maxLanguages bounds the header Accept-Language, in bytes.
const maxLanguages = 200

// Locale returns the language that the sender of a request likes best, as a BCP 47 tag, or "". It
// is short, whatever the request says.
func Locale(r *http.Request) string {
	accepted := r.Header.Get("Accept-Language")
	if len(accepted) > maxLanguages {
		return ""
	}
	tags, _, err := language.ParseAcceptLanguage(accepted)
	if err != nil || len(tags) == 0 {
		return ""
	}
	switch tag := tags[0].String(); {
	case tag == "und" || tag == "mul" || len(tag) > 35: // none, any, or no real language
		return ""
	default:
		return tag
	}
}
