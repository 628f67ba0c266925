package mail

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

var tags = regexp.MustCompile(`(?s)<style.*?</style>|<[^>]+>`)

// Every message, in every language, says the same in both of its parts, and says all of it.
func TestEveryMessage(t *testing.T) {
	texts, err := text.Load()
	testkit.Must(t, err)
	c := composer(t)
	values := map[string]string{
		"link": "https://id.example.com/reset-password?token=x1", "minutes": "60",
		"time": "2026-11-28T12:17:00Z", "ip": "192.0.2.7",
		"program": "Firefox", "system": "Linux", "city": "Paris", "country": "Frankreich",
	}
	at := time.Date(2026, 11, 28, 13, 17, 0, 0, time.FixedZone("CET", 3600))
	dates := map[string]bool{}
	for _, language := range texts.Languages() {
		// In the person's time zone, as the language writes it; the whole is isolated, not its
		// parts.
		date := strings.NewReplacer("\u2068", "", "\u2069", "").Replace(texts.For(language).Date(at))
		dates[date] = true
		link := values["link"]
		if language != "en" { // the page speaks the language of the message
			link = "https://id.example.com/reset-password?ui_locales=" + language + "&token=x1"
		}
		for _, name := range outbox.Messages() {
			m, err := c.Compose(&outbox.Mail{
				To: "a@example.org", Name: "Ada", Message: name, Locale: language,
				Zone: "Europe/Berlin", Values: values,
			})
			testkit.Must(t, err)
			testkit.Equal(t, name+" language", m.Language, language)
			shown := html.UnescapeString(tags.ReplaceAllString(m.HTML, " "))
			for _, want := range []string{
				link, "Ada", "Firefox", "Linux", "192.0.2.7", "Paris", "Frankreich", date, "60", "Example Ltd",
			} {
				if !strings.Contains(m.Text, want) || !strings.Contains(shown, want) {
					t.Errorf("%s in %s: %q is missing in a part", name, language, want)
				}
			}
			for _, bad := range []string{"{{", "<no value>", "%!", "\n\n\n"} {
				if strings.Contains(m.Text, bad) || strings.Contains(m.Subject, bad) {
					t.Errorf("%s in %s has %q:\n%s", name, language, bad, m.Text)
				}
			}
		}
	}
	if !dates["28 Nov 2026, 13:17 CET"] || !dates["28. Nov. 2026, 13:17 CET"] || !dates["2026年11月28日 13:17 CET"] {
		t.Errorf("got %v", dates)
	}
	if _, err := c.Compose(&outbox.Mail{Message: "no-such"}); err == nil {
		t.Error("a message without an entry was composed")
	}
}

// In every text part the link stands alone on its line and the code on its own, so that no program
// takes a full stop or a bracket for a part of them, however long the address of the server is.
func TestLinksStandAlone(t *testing.T) {
	texts, err := text.Load()
	testkit.Must(t, err)
	c := composer(t)
	const link = "https://sign-in.department-of-transport.long-example-name.org/reset-password?token=gth_su_x1"
	for _, language := range texts.Languages() {
		want := link
		if language != "en" {
			want = strings.Replace(link, "?", "?ui_locales="+language+"&", 1)
		}
		for _, name := range outbox.Messages() {
			m, err := c.Compose(&outbox.Mail{
				To: "a@example.org", Name: "Ada", Message: name, Locale: language,
				Values: map[string]string{"link": link, "link2": link, "code": "BCDF-GHJK", "minutes": "60"},
			})
			testkit.Must(t, err)
			links, codes := 0, 0
			for line := range strings.Lines(m.Text) {
				switch bare := strings.TrimRight(line, "\n"); {
				case bare == want:
					links++
				case bare == "BCDF-GHJK":
					codes++
				case strings.Contains(bare, "https:") || strings.Contains(bare, "BCDF"):
					t.Errorf("%s in %s: %q", name, language, bare)
				}
			}
			testkit.Equal(t, name+" in "+language+": links and codes", []int{links, codes}, []int{2, 1})
		}
	}
}

// A message without a link, a name or facts has no empty places.
func TestShortMessage(t *testing.T) {
	m, err := composer(t).Compose(&outbox.Mail{Message: outbox.MessageTest})
	testkit.Must(t, err)
	testkit.Equal(t, "text", m.Text, "Hello,\n\nYour mail settings work: Gatehouse can send messages to this "+
		"address.\n\n-- \nGatehouse sent this message because of something that happened on your account. "+
		"You can't reply to it.\nExample Ltd, 1 High St\n")
	if strings.Contains(m.HTML, "href=") {
		t.Error("a message without a link has one")
	}
}
