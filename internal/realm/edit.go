package realm

import (
	"bytes"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Add returns the file with a further realm, whose values have keys as in the file. Comments and
// the order of the others stay.
func Add(raw []byte, name string, values []Value) ([]byte, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	f, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	if _, err := f.Entry(name); err == nil {
		return nil, fault.New(fault.Conflict, "there is a realm %s already", name)
	}
	entry := &yaml.Node{Kind: yaml.MappingNode}
	for _, v := range values {
		entry.Content = append(entry.Content, scalar(v.Key), scalar(v.Text))
	}
	return edit(raw, func(realms *yaml.Node) {
		realms.Content = append(realms.Content, scalar(name), entry)
	})
}

// Remove returns the file without a realm.
func Remove(raw []byte, name string) ([]byte, error) {
	f, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	if _, err := f.Entry(name); err != nil {
		return nil, err
	}
	return edit(raw, func(realms *yaml.Node) {
		for i := 0; i+1 < len(realms.Content); i += 2 {
			if realms.Content[i].Value == name {
				realms.Content = append(realms.Content[:i], realms.Content[i+2:]...)
				return
			}
		}
	})
}

func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

// edit changes the mapping of realms, which it creates if there is none.
func edit(raw []byte, change func(realms *yaml.Node)) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the file is not readable as YAML")
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	root := doc.Content[0]
	var realms *yaml.Node
	for key, value := range pairs(root) {
		if key.Value == "realms" {
			realms = value
		}
	}
	if realms == nil {
		realms = &yaml.Node{Kind: yaml.MappingNode}
		root.Content = append(root.Content, scalar("realms"), realms)
	}
	if realms.Kind != yaml.MappingNode { // realms: without a value
		*realms = yaml.Node{Kind: yaml.MappingNode}
	}
	realms.Style = 0
	change(realms)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}
