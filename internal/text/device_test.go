package text

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Programs and systems have words in every language. Names of products stay as they are.
func TestDevice(t *testing.T) {
	c, err := Load()
	testkit.Must(t, err)
	words := map[string]string{
		"ar":      "برنامج Go على Linux",
		"de":      "Go-Programm auf Linux",
		"en":      "Go program on Linux",
		"es":      "Programa en Go en Linux",
		"fr":      "Programme Go sous Linux",
		"it":      "Programma Go su Linux",
		"ja":      "Go プログラム（Linux）",
		"nl":      "Go-programma op Linux",
		"pl":      "Program w Go, Linux",
		"pt-BR":   "Programa em Go no Linux",
		"tr":      "Go programı, Linux",
		"zh-Hans": "Linux 上的 Go 程序",
	}
	plain := strings.NewReplacer("\u2068", "", "\u2069", "")
	for _, texts := range c.All() {
		tag := texts.Language()
		testkit.Equal(t, tag, plain.Replace(texts.Device("Go program", "Linux")), words[tag])
		testkit.Equal(t, tag+" product", plain.Replace(texts.Device("curl", "")), "curl")
		testkit.Equal(t, tag+" system", plain.Replace(texts.Device("", "Windows")), "Windows")
		testkit.Equal(t, tag+" nothing", texts.Device("", ""), texts.Get("common.device.unknown"))
	}
}
