package app

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// DEFAULT_LOCALE names a language that there is.
func TestDefaultLocale(t *testing.T) {
	for locale, ok := range map[string]bool{"en": true, "pt-BR": true, "de-CH": true, "zh-TW": false, "xx": false, "": false} {
		_, err := newComposer(&config.Config{Accounts: config.Accounts{DefaultLocale: locale}}, nil)
		if ok {
			testkit.Must(t, err)
			continue
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "zh-Hans") {
			t.Errorf("%q: %v", locale, err)
		}
	}
}
