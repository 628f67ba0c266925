package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// objectReader reads the objects of an export of another program: one a line, those of an array, or
// those of the lists in a document.
type objectReader struct {
	lines   *bufio.Reader // with one object a line; or nil
	dec     *json.Decoder
	members []string // of a document, whose lists have the objects
	inList  bool     // the decoder is in such a list
	inDoc   bool     // the decoder is in the document
	n       int      // the line, or the number of the object
}

// newObjectReader finds out how a file has its objects. The members are those of a document that
// have lists of them.
func newObjectReader(b *bufio.Reader, members ...string) (*objectReader, error) {
	o := &objectReader{members: members}
	head, err := b.Peek(b.Size())
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) == 0 || text[0] != '[' && text[0] != '{' {
		return nil, notObjects(errors.New("it begins with neither { nor ["))
	}
	if text[0] == '{' && !isDocument(text, members) {
		o.lines = b
		return o, nil
	}
	o.dec = json.NewDecoder(b)
	if _, err := o.dec.Token(); err != nil {
		return nil, notObjects(err)
	}
	o.inList, o.inDoc = text[0] == '[', text[0] == '{'
	return o, nil
}

// isDocument reports whether a text that begins with a brace is one document with lists, and not an
// object a line. It looks at the first lines, or at the first name if they are long.
func isDocument(text []byte, members []string) bool {
	line, rest, whole := bytes.Cut(text, []byte("\n"))
	var names map[string]json.RawMessage
	if err := json.Unmarshal(line, &names); err == nil {
		for _, m := range members {
			if v := bytes.TrimSpace(names[m]); len(v) > 0 && v[0] == '[' {
				return true
			}
		}
		return false
	}
	second, _, _ := bytes.Cut(rest, []byte("\n"))
	if whole && json.Unmarshal(second, &names) == nil {
		return false // the first line is wrong, and named as such
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	_, _ = dec.Token()
	first, err := dec.Token()
	name, ok := first.(string)
	return err == nil && ok && (whole || slices.Contains(members, name))
}

func notObjects(err error) error {
	return invalidFile("the file is neither JSON lines nor a JSON document: %v", err)
}

// next returns the next object and its number. An error of kind fault.Invalid is about one line;
// the next call goes on.
func (o *objectReader) next() (raw json.RawMessage, n int, err error) {
	if o.lines != nil {
		return o.nextLine()
	}
	for !o.inList || !o.dec.More() {
		if done, err := o.nextList(); done || err != nil {
			if err == nil {
				err = io.EOF
			}
			return nil, o.n, err
		}
	}
	if err := o.dec.Decode(&raw); err != nil {
		return nil, o.n, o.broken(err)
	}
	o.n++
	return raw, o.n, nil
}

func (o *objectReader) broken(err error) error {
	return fmt.Errorf("the file cannot be read behind its %d. object: %w", o.n, err)
}

func (o *objectReader) nextLine() (json.RawMessage, int, error) {
	for {
		text, err := readLine(o.lines)
		switch {
		case errors.Is(err, errLongLine):
			o.n++
			return nil, o.n, invalidFile("the line has more than %d bytes", maxImportLine)
		case err != nil && (text == nil || !errors.Is(err, io.EOF)):
			return nil, o.n, err
		}
		o.n++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			return nil, o.n, invalidFile("this is not a JSON object: %v", err)
		}
		return text, o.n, nil
	}
}

// nextList goes to the next list of the document, and reports whether there is none.
func (o *objectReader) nextList() (done bool, err error) {
	if o.inList {
		if _, err := o.dec.Token(); err != nil { // the bracket
			return false, o.broken(err)
		}
		o.inList = false
	}
	if !o.inDoc {
		return true, nil
	}
	for o.dec.More() {
		name, err := o.dec.Token()
		if err != nil {
			return false, o.broken(err)
		}
		if text, ok := name.(string); ok && slices.Contains(o.members, text) {
			t, err := o.dec.Token()
			if err != nil {
				return false, o.broken(err)
			}
			if t == json.Delim('[') {
				o.inList = true
				return false, nil
			}
			if t != nil {
				return false, o.broken(errors.New(text + " is not a list"))
			}
			continue
		}
		if err := skipValue(o.dec); err != nil {
			return false, o.broken(err)
		}
	}
	return true, nil
}

// looseBool is a truth value as databases and exports write it.
type looseBool bool

// UnmarshalJSON reads true, 1, "1", "t" or "true"; all else is false.
func (v *looseBool) UnmarshalJSON(raw []byte) error {
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true", "1", "t":
		*v = true
	default:
		*v = false
	}
	return nil
}

// looseList is a list of texts, or a text that has such a list as JSON or separated by spaces.
type looseList []string

// UnmarshalJSON reads the list.
func (v *looseList) UnmarshalJSON(raw []byte) error {
	*v = nil
	if len(raw) > 0 && raw[0] == '[' {
		return json.Unmarshal(raw, (*[]string)(v))
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") {
		return json.Unmarshal([]byte(text), (*[]string)(v))
	}
	*v = strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == ',' || c == '\n' })
	return nil
}
