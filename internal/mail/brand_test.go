package mail

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

func brandComposer(t *testing.T, b Brand, custom fstest.MapFS) (*Composer, error) {
	t.Helper()
	texts, err := text.Load()
	testkit.Must(t, err)
	if custom == nil {
		return NewComposer(b, texts, "en", nil)
	}
	return NewComposer(b, texts, "en", custom)
}

func resetMessage(t *testing.T, c *Composer) *Message {
	t.Helper()
	m, err := c.Compose(&outbox.Mail{
		Name: "Ada <i>", Message: outbox.MessagePasswordReset, Values: map[string]string{"link": "https://id.example/r?token=x1", "minutes": "60"},
	})
	testkit.Must(t, err)
	return m
}

// The button and the link of a message have the colors of the brand; the logo has a ground of its
// own, which stays white when a mail program darkens the message.
func TestBrandOfMessages(t *testing.T) {
	c, err := brandComposer(t, Brand{App: `Acme "ID"`, Logo: "https://id.example/images/logo.png?a=1&b=2", Primary: "#ffeb3b"}, nil)
	testkit.Must(t, err)
	m := resetMessage(t, c)
	for _, want := range []string{
		"background-color:#ffeb3b;border-radius:8px;color:#000000;", "color: #ffeb3b !important",
		`<img src="https://id.example/images/logo.png?a=1&amp;b=2" alt="Acme &#34;ID&#34;"`, "background-image:linear-gradient(#ffffff,#ffffff)",
	} {
		if !strings.Contains(m.HTML, want) {
			t.Errorf("lacks %s\n%s", want, m.HTML)
		}
	}
	if strings.Contains(m.HTML, "ZgotmplZ") || strings.Contains(m.HTML, "#0f6557") {
		t.Error("a color that is not the brand's")
	}
	c, err = brandComposer(t, Brand{App: "Acme"}, nil)
	testkit.Must(t, err)
	if m := resetMessage(t, c); strings.Contains(m.HTML, "<img") || !strings.Contains(m.HTML, "background-color:#0f6557;border-radius:8px;color:#ffffff;") {
		t.Errorf("%s", m.HTML)
	}
}

func templatesOf(pairs ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		files["emails/"+pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return files
}

const (
	ownHTML = `<p style="color:{{.link_color}}">{{.greeting}}</p><p>{{.body}}</p>{{.note}}{{.code}}
{{range .facts}}<p>{{.label}}: {{.value}}</p>{{end}}{{with .link}}<a href="{{.}}">{{$.button}}</a>{{end}}
{{with .second_link}}<a href="{{.}}">{{$.second_button}}</a>{{end}}`
	ownText = "{{.greeting}}\n{{.body}}{{.note}}{{.code}}{{range .facts}}{{.label}}: {{.value}}\n{{end}}{{.link}}\n{{.second_link}}\n"
)

// The operator's templates are used for one message or for all, each part by itself.
func TestOwnTemplates(t *testing.T) {
	c, err := brandComposer(t, Brand{App: "Acme", Primary: "#7c3aed"}, templatesOf(
		"message.html", "ALL"+ownHTML, "password-reset.html", "RESET"+ownHTML, "password-reset.txt", "OWN"+ownText))
	testkit.Must(t, err)
	m := resetMessage(t, c)
	if !strings.HasPrefix(m.HTML, "RESET") || !strings.Contains(m.HTML, "Ada &lt;i&gt;") ||
		!strings.Contains(m.HTML, `href="https://id.example/r?token=x1"`) || !strings.Contains(m.HTML, "color:#7c3aed") {
		t.Errorf("%s", m.HTML)
	}
	if !strings.HasPrefix(m.Text, "OWN") || !strings.Contains(m.Text, "Ada <i>") {
		t.Errorf("%s", m.Text)
	}
	m, err = c.Compose(&outbox.Mail{Message: outbox.MessageTest})
	testkit.Must(t, err)
	if !strings.HasPrefix(m.HTML, "ALL") || !strings.HasPrefix(m.Text, "Hello") {
		t.Errorf("%s\n%s", m.HTML, m.Text)
	}
}

// A directory with the name of a language has templates for it. Each part falls back to those for
// all languages, and these to ours.
func TestOwnTemplatesOfALanguage(t *testing.T) {
	c, err := brandComposer(t, Brand{App: "Acme"}, templatesOf("message.html", "ALL"+ownHTML, "message.txt", "ALL"+ownText,
		"de/message.html", "ALLE"+ownHTML, "de/password-reset.html", "NEU"+ownHTML, "pt-BR/test.txt", "BR"+ownText))
	testkit.Must(t, err)
	for _, x := range []struct{ message, locale, html, text string }{
		{outbox.MessagePasswordReset, "de", "NEU", "ALL"},
		{outbox.MessageTest, "de-AT", "ALLE", "ALL"},
		{outbox.MessageTest, "pt-BR", "ALL", "BR"},
		{outbox.MessageTest, "fr", "ALL", "ALL"},
	} {
		m, err := c.Compose(&outbox.Mail{Message: x.message, Locale: x.locale, Values: map[string]string{"link": "https://id.example/r", "minutes": "60"}})
		testkit.Must(t, err)
		if !strings.HasPrefix(m.HTML, x.html+"<p") || !strings.HasPrefix(m.Text, x.text) {
			t.Errorf("%s, %s:\n%s\n%s", x.message, x.locale, m.HTML, m.Text)
		}
	}
}

// A template that does not keep what a message promises stops the start, with the file.
func TestOwnTemplatesAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"no link":          {templatesOf("message.txt", strings.Replace(ownText, "{{.link}}", "", 1)), "emails/message.txt: the message lacks {{.link}}"},
		"no body":          {templatesOf("message.html", strings.Replace(ownHTML, "{{.body}}", "", 1)), "emails/message.html: the message lacks {{.body}}"},
		"no facts":         {templatesOf("message.txt", strings.Replace(ownText, "{{.value}}", "", 1)), "emails/message.txt: the message lacks its facts"},
		"no code":          {templatesOf("sign-in-code.txt", strings.Replace(ownText, "{{.code}}", "", 1)), "emails/sign-in-code.txt: the message lacks {{.code}}"},
		"unknown variable": {templatesOf("message.html", "\n{{.bodi}}"), "emails/message.html:2:2"},
		"syntax":           {templatesOf("message.html", "{{if"), "emails/message.html:1"},
		"script":           {templatesOf("message.html", ownHTML+"\n<script>"), "emails/message.html:4: <script> is not possible in a message"},
		"no second link":   {templatesOf("address-in-use.txt", strings.Replace(ownText, "{{.second_link}}", "", 1)), "emails/address-in-use.txt: the message lacks {{.second_link}}"},
		"language":         {templatesOf("xx/message.txt", ownText), `emails/xx: there is no language "xx"; use one of: en, ar, de`},
		"of a language":    {templatesOf("de/message.txt", "x"), "emails/de/message.txt: the message lacks {{.body}}"},
		"name":             {templatesOf("pasword-reset.html", ownHTML), "use one of: password-reset"},
	} {
		if _, err := brandComposer(t, Brand{App: "Acme"}, c.files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// In development a changed template is used at once, and one with a mistake is not.
func TestOwnTemplatesAreReadAgain(t *testing.T) {
	files := templatesOf("message.txt", "ONE"+ownText)
	c, err := brandComposer(t, Brand{App: "Acme"}, files)
	testkit.Must(t, err)
	begins := func(want string) {
		t.Helper()
		if m := resetMessage(t, c); !strings.HasPrefix(m.Text, want) {
			t.Errorf("the message does not begin with %s:\n%s", want, m.Text)
		}
	}
	files["emails/message.txt"].Data = []byte("TWO" + ownText)
	begins("ONE") // as in production
	c.Reload(files)
	begins("TWO")
	files["emails/message.txt"].Data = []byte("{{.bodi}}")
	begins("ONE")
}
