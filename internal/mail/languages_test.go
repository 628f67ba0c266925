package mail

import (
	"mime"
	"net/mail"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

// A message in each language arrives as it was composed: the subject survives RFC 2047, and both
// parts survive their transfer encoding.
func TestLanguagesArrive(t *testing.T) {
	texts, err := text.Load()
	testkit.Must(t, err)
	sink := &sink{}
	s := sender(t, sink, nil)
	for i, language := range texts.Languages() {
		m := outbox.Mail{
			To: "ada@example.org", Name: "Zoë 李", Message: outbox.MessageTwoStepOn, Locale: language,
			Values: map[string]string{"time": "2026-11-28T12:17:00Z", "link": "https://id.example.com/a"},
		}
		want, err := s.o.Composer.Compose(&m)
		testkit.Must(t, err)
		d := s.o.Sealer.Mail(m, now)
		testkit.Must(t, s.Send(t.Context(), &d))

		data := sink.all()[i].data
		if !isASCII(data) {
			t.Errorf("%s: what is sent is not ASCII", language)
		}
		for _, line := range strings.Split(data, "\r\n") {
			if strings.Contains(line, "=?") && len(line) > 78 { // RFC 2047 §2: 76, and a space
				t.Errorf("%s: a line of the header is too long: %s", language, line)
			}
		}
		got, err := mail.ReadMessage(strings.NewReader(data))
		testkit.Must(t, err)
		subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
		testkit.Must(t, err)
		testkit.Equal(t, language+" subject", subject, want.Subject)
		testkit.Equal(t, language+" header", got.Header.Get("Content-Language"), language)
		both := parts(t, got)
		testkit.Equal(t, language+" text", unix(both["text/plain"]), unix(want.Text))
		testkit.Equal(t, language+" HTML", unix(both["text/html"]), unix(want.HTML))
	}
	testkit.Equal(t, "messages", len(sink.all()), len(texts.Languages()))
}

// unix returns a text with the ends of lines that the composer writes, and none at its end.
func unix(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

// In a message from right to left, what is inserted is isolated, since the parts of a date would
// change places otherwise; a link stands alone on its line.
func TestRightToLeft(t *testing.T) {
	c := composer(t)
	m, err := c.Compose(&outbox.Mail{
		Name: "Ada (2)", Message: outbox.MessageTwoStepOn, Locale: "ar",
		Values: map[string]string{"time": "2026-11-28T12:17:00Z", "link": "https://id.example.com/a"},
	})
	testkit.Must(t, err)
	for _, want := range []string{"Ada (2)", "Gatehouse", "28 نوفمبر 2026، 12:17 UTC"} {
		if isolated := "\u2068" + want + "\u2069"; !strings.Contains(m.Text, isolated) {
			t.Errorf("%q is not isolated:\n%s", want, m.Text)
		}
	}
	for _, want := range []string{
		`<html lang="ar" dir="rtl">`, `<bdi>Gatehouse</bdi>`, `<bdi>Example Ltd, 1 High St</bdi>`,
		`dir="ltr" href="https://id.example.com/a?ui_locales=ar"`,
	} {
		if !strings.Contains(m.HTML, want) {
			t.Errorf("%s is missing:\n%s", want, m.HTML)
		}
	}
	if !strings.Contains(m.Text, "\nhttps://id.example.com/a?ui_locales=ar\n") {
		t.Errorf("the link does not stand alone:\n%s", m.Text)
	}
	test, err := c.Compose(&outbox.Mail{Message: outbox.MessageTest, Locale: "ar"})
	testkit.Must(t, err)
	if !strings.HasSuffix(test.Subject, "\u2068Gatehouse\u2069") {
		t.Errorf("the product's name is not isolated in the subject %q", test.Subject)
	}
}
