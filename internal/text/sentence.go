package text

import (
	"fmt"
	"strconv"
	"strings"
)

// errorsArea is the area of the catalogues whose ids are English sentences, or words in them. The
// packages that make them know no catalogue.
const errorsArea = "errors" // and those whose names begin so

// Sentence returns an English sentence with values for the verbs of package fmt in this language.
// The first whole number selects the plural form. A value that is a sentence or word with an entry
// of its own is translated, too. What has no entry stays English.
func (t *Texts) Sentence(format string, args ...any) string {
	n := 0
	values := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case int:
			if n == 0 {
				n = v
			}
		case string:
			arg = isolated{t, t.word(v)}
		}
		values[i] = arg
	}
	if m := t.sentence(format); m != nil {
		format = m.form(n).literals[0]
	}
	if len(args) == 0 {
		return format
	}
	// A form that stands for one number only may leave it away. A numbered verb for an empty value
	// tells package fmt that not all values need to occur.
	return fmt.Sprintf(format+"%["+strconv.Itoa(len(values)+1)+"]s", append(values, "")...)
}

// HasSentence reports whether there is an entry for an English sentence.
func (t *Texts) HasSentence(format string) bool { return t.sentence(format) != nil }

// word returns a value of a sentence in this language. A code point in brackets at its end is kept.
func (t *Texts) word(v string) string {
	name, code, _ := strings.Cut(v, " (U+")
	if e := t.sentence(name); e != nil {
		name = e.form(0).literals[0]
		if code != "" {
			name += " (U+" + code
		}
		return name
	}
	return v
}

// isolated is a value that others may have chosen. It is isolated as a whole, with its quotation
// marks.
type isolated struct {
	texts *Texts
	value string
}

// Format writes the value, in quotation marks for the verb %q.
func (v isolated) Format(f fmt.State, verb rune) {
	s := v.value
	if verb == 'q' {
		s = strconv.Quote(s)
	}
	_, _ = f.Write([]byte(Isolate(v.texts, s))) // a buffer of package fmt
}
