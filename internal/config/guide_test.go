package config

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The settings files that a guide shows can be used as they are, with a key of one's own.
func TestSettingsInTheGuides(t *testing.T) {
	var text []byte
	for _, name := range []string{"production", "high-availability"} {
		raw, err := os.ReadFile("../../docs/guides/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, raw...)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml settings\n(.*?)^```$").FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("the guides show %d settings files", len(blocks))
	}
	key := fmt.Sprintf("%x", sha256.Sum256([]byte("the guide")))
	for _, block := range blocks {
		file := strings.ReplaceAll(string(block[1]), "paste-the-output-of-openssl-rand-hex-32", key)
		c, err := Load(Source{File: []byte(file), FileName: "gatehouse.yaml"})
		if err != nil {
			t.Errorf("%v in\n%s", err, file)
			continue
		}
		if !c.Production() {
			t.Errorf("not for production:\n%s", file)
		}
	}
}

// The settings that the guide about the look shows can be used as they are.
func TestSettingsOfTheLook(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guides/branding.md")
	if err != nil {
		t.Fatal(err)
	}
	_, file, _ := strings.Cut(string(guide), "```yaml\n")
	file, _, _ = strings.Cut(file, "```")
	c, err := Load(Source{File: []byte(file), FileName: "gatehouse.yaml"})
	if err != nil || c.Branding.PrimaryColor != "#7c3aed" || c.Branding.CompanyAddress == "" {
		t.Errorf("%v in\n%s", err, file)
	}
}
