package plan

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Reference names a value that is not in the document.
type Reference struct {
	Kind string // env or file
	Name string // of the variable, or the path of the file
}

// The kinds of references.
const (
	FromEnv  = "env"
	FromFile = "file"
)

// String returns the reference as it is in a document.
func (r Reference) String() string { return "${" + r.Kind + ":" + r.Name + "}" }

// hint returns how the reference gets a value.
func (r Reference) hint() string {
	if r.Kind == FromEnv {
		return "set the environment variable " + clip(r.Name)
	}
	return "the file must exist, be readable and have at most 64 KiB"
}

// expand returns the text of a scalar with its references replaced by their values. "$${" stands
// for "${".
func (r *reader) expand(n *yaml.Node, v *Value) (string, error) {
	var out strings.Builder
	rest := n.Value
	secret := v.Member != nil && v.Member.Kind == KindSecret
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			break
		}
		if i > 0 && rest[i-1] == '$' {
			out.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			return "", at(n.Line, "a reference begins with ${ and does not end; write $${ if it is no reference")
		}
		ref, err := readReference(n, rest[i:i+end+1])
		if err != nil {
			return "", err
		}
		out.WriteString(rest[:i])
		if secret && (out.Len() > 0 || i+end+1 < len(rest)) {
			return "", at(n.Line, "%s must be one reference and nothing else", v.Member.Name)
		}
		text, err := r.lookup(n, ref, v)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
		rest = rest[i+end+1:]
	}
	out.WriteString(rest)
	return out.String(), nil
}

// readReference reads a text such as ${env:NAME}.
func readReference(n *yaml.Node, text string) (Reference, error) {
	kind, name, ok := strings.Cut(text[2:len(text)-1], ":")
	ref := Reference{kind, name}
	if !ok || kind != FromEnv && kind != FromFile || name == "" {
		return ref, at(n.Line, "%s is not a reference; write ${env:NAME} or ${file:PATH}, or $${ for the "+
			"characters themselves", clip(text))
	}
	return ref, nil
}

// lookup returns the value of a reference, or the reference itself if it has none.
func (r *reader) lookup(n *yaml.Node, ref Reference, v *Value) (string, error) {
	if !r.seen[ref] {
		if len(r.references) == maxReferences {
			return "", at(n.Line, "a document has at most %d different references", maxReferences)
		}
		r.seen[ref] = true
		r.references = append(r.references, ref)
	}
	if v.Hidden = true; v.Source == "" {
		v.Source = ref.String()
	}
	if text, ok := r.resolve(ref); ok {
		if len(text) > maxValue {
			return "", at(n.Line, "the value of %s has more than %d bytes", clip(ref.String()), maxValue)
		}
		if r.expanded += len(text); r.expanded > maxExpanded {
			return "", at(n.Line, "the values of the references in a document have more than %d bytes together",
				maxExpanded)
		}
		return text, nil
	}
	v.Open = ref.String()
	if !r.open {
		r.missing = append(r.missing, missing{n.Line, ref})
	}
	return ref.String(), nil
}
