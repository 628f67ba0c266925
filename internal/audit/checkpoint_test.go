package audit

import (
	"strings"
	"testing"
)

func TestCheckpoint(t *testing.T) {
	name := KeyName("https://id.example.com/")
	if name != "id.example.com/audit" || KeyName("http://localhost:8080") != "localhost:8080/audit" {
		t.Errorf("names: %q", name)
	}
	private, public, err := NewCheckpointKey(name)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := PublicCheckpointKey(private); err != nil || got != public {
		t.Errorf("public half: %q, %v, want %q", got, err, public)
	}
	second, other, err := NewCheckpointKey(name)
	if err != nil {
		t.Fatal(err)
	}
	c := &Checkpoint{Origin: Origin(name, 2), Size: 12, Root: Root(nil)}
	signed, err := c.Sign(private, second)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]string{{public}, {other}, {public, other}, {public, public}} {
		got, by, err := OpenCheckpoint(signed, keys...)
		if err != nil || *got != *c || len(by) == 0 {
			t.Errorf("opened by %d keys: %v, %v, %v", len(keys), got, by, err)
		}
	}
	if _, _, err := OpenCheckpoint(signed); err == nil {
		t.Error("opened without a key")
	}
	if _, _, err := OpenCheckpoint(strings.Replace(signed, "\n12\n", "\n11\n", 1), public); err == nil {
		t.Error("another size is signed")
	}
	if EpochOf(name, c.Origin) != 2 || EpochOf(name, name) != 1 || EpochOf(name, name+"/x") != 0 || EpochOf(name, "other") != 0 {
		t.Error("epochs of origins")
	}
	for _, text := range []string{"", "a\nb", "a\n-1\nx\n\n", "a\n01\n" + Root(nil).String() + "\n\n", "\n1\n" + Root(nil).String() + "\n\n"} {
		if _, err := ParseCheckpoint(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	for _, key := range []string{"", "PRIVATE+KEY+a+b+c", public} {
		if _, err := PublicCheckpointKey(key); err == nil {
			t.Errorf("%q is a key", key)
		}
	}
}
