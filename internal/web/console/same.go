package console

import (
	"encoding/json"
	"strings"
	"unicode"
)

// Same is the command and the API call that do the same as a form.
type Same struct {
	Args   []string // of the command line, without the program's name
	Input  string   // what the command reads from stdin, as an example, or ""
	Method string   // of the API call; "" hides it
	Path   string   // of the API call, below the issuer
	Body   any      // of the API call, as JSON; nil for none
	File   string   // of the API call, in place of Body: the name of a file

	Form string // the button of the form, where a page has several, or ""
	More []Same // of the page's other forms

	issuer string
}

// also returns the same with what a further form of the page does.
func (s Same) also(form string, other Same) Same {
	other.Form = form
	s.More = append(s.More[:len(s.More):len(s.More)], other)
	return s
}

// Command returns the command with its arguments quoted for a shell.
func (s Same) Command() string {
	if len(s.Args) == 0 {
		return ""
	}
	words := []string{"gatehouse"}
	for _, a := range s.Args {
		words = append(words, quote(a))
	}
	out := strings.Join(words, " ")
	if s.Input != "" {
		out += " < " + quote(s.Input)
	}
	return out
}

// Call returns the API call as a curl command, quoted for a shell.
func (s Same) Call() string {
	if s.Method == "" {
		return ""
	}
	words := []string{"curl", "-X", s.Method, quote(s.issuer + s.Path), "-H", `"Authorization: Bearer $TOKEN"`}
	if s.Body != nil {
		body, err := json.Marshal(s.Body)
		if err != nil { // of maps and texts only
			panic(err)
		}
		words = append(words, "-H", quote("Content-Type: application/json"), "-d", quote(string(body)))
	}
	if s.File != "" {
		words = append(words, "-H", quote("Content-Type: application/octet-stream"), "--data-binary", quote("@"+s.File))
	}
	return strings.Join(words, " ")
}

// quote returns a word for a POSIX shell. What is not plain stands in single quotes, in which
// nothing has a meaning. Control characters, which a terminal would act on, and marks that reorder
// what people read are left out.
func quote(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			return -1
		}
		return c
	}, s)
	if s != "" && s[0] != '=' && strings.Trim(s, plainBytes) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plainBytes are the characters that mean themselves in every place of a shell's words.
const plainBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+,="
