// Package mail composes messages and sends them by SMTP.
package mail

import (
	"bytes"
	"embed"
	"fmt"
	html "html/template"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	plain "text/template"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/palette"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

//go:embed templates/*
var templates embed.FS

// Brand is what messages say about the product.
type Brand struct {
	App     string // the product's name
	Company string // for the footer, or ""
	Address string // the company's postal address, or ""
	Logo    string // absolute address of a PNG, JPEG or GIF file, or ""
	Primary string // the brand's color as #rrggbb, or ""
}

// colors are the colors of a message that the brand decides.
type colors struct{ Fill, OnFill, Accent, DarkAccent string }

// colors returns the colors of the brand, or the server's own.
func (b Brand) colors() colors {
	c, err := palette.Parse(b.Primary)
	if err != nil {
		return colors{Fill: "#0f6557", OnFill: "#ffffff", Accent: "#0f6557", DarkAccent: "#6fd0bb"}
	}
	day, night := palette.Light(c), palette.Dark(c)
	return colors{
		Fill:       day.Fill.String(),
		OnFill:     day.OnFill.String(),
		Accent:     day.Accent.String(),
		DarkAccent: night.Accent.String(),
	}
}

// Composer writes messages in the language of their reader. It is safe for concurrent use.
type Composer struct {
	brand  Brand
	texts  *text.Catalogues
	locale string // of people without a language
	html   *html.Template
	plain  *plain.Template
	own    ownTemplates
	custom fs.FS // read again for each message; nil: own stays
}

// NewComposer returns a Composer. Locale is the language of people who have chosen none. Custom
// holds the operator's templates below emails, or is nil.
func NewComposer(b Brand, texts *text.Catalogues, locale string, custom fs.FS) (*Composer, error) {
	h, err := html.ParseFS(templates, "templates/message.html")
	if err != nil {
		return nil, err
	}
	p, err := plain.ParseFS(templates, "templates/message.txt")
	if err != nil {
		return nil, err
	}
	c := &Composer{brand: b, texts: texts, locale: locale, html: h, plain: p}
	c.own, err = loadOwn(custom, texts.Languages())
	return c, err
}

// Message is a composed message: one text as HTML and as plain text.
type Message struct {
	Subject  string
	HTML     string
	Text     string
	Language string // BCP 47
}

// facts are the values that a message lists, in this order.
var facts = []string{
	"email", "username", "client", "target", "count", "by", "reason", "until", "ends", "expires", "passkey", "time", "ready", "device", "place", "ip",
}

// view is what the templates show.
type view struct {
	colors
	Language, Direction       string
	Logo                      string
	App, Company, Address     string
	Subject, Greeting, Footer string
	Body, Note                string // Note stands at the end, or is ""
	CodeIntro, Code           string // a code to type, alone on its line; "" where there is none
	Link, Button, Fallback    string // Link is "" where the message has none
	Link2, Button2            string // a second link, or ""
	Lifetime                  string
	Facts                     []fact
}

type fact struct{ Label, Value string }

// Compose writes a message. It returns an error for a message that has no entry in the catalogue.
func (c *Composer) Compose(m *outbox.Mail) (*Message, error) {
	t := c.texts.For(m.Locale, c.locale)
	v, err := c.view(t, m)
	if err != nil {
		return nil, err
	}
	asHTML, asText, err := c.render(m.Message, v)
	if err != nil {
		return nil, err
	}
	return &Message{Subject: v.Subject, HTML: asHTML, Text: asText, Language: t.Language()}, nil
}

// Preview writes a message that nobody is sent. Invalid if there are no messages in its language,
// which for a person is replaced by the default.
func (c *Composer) Preview(m *outbox.Mail) (*Message, error) {
	if m.Locale != "" && !c.texts.Supports(m.Locale) {
		return nil, fault.InvalidField("locale", "there is no language %q; use one of: %s", m.Locale,
			strings.Join(c.texts.Languages(), ", "))
	}
	return c.Compose(m)
}

// Reload reads the operator's templates again for each message, for development. Templates that do
// not pass the checks are not used.
func (c *Composer) Reload(custom fs.FS) { c.custom = custom }

// templates returns the operator's templates.
func (c *Composer) templates() ownTemplates {
	if c.custom != nil {
		if own, err := loadOwn(c.custom, c.texts.Languages()); err == nil {
			return own
		}
	}
	return c.own
}

// render writes a message with the operator's templates for it, for all messages, or ours.
func (c *Composer) render(message string, v *view) (asHTML, asText string, err error) {
	var h, p bytes.Buffer
	own := c.templates().find(v.Language, message)
	if own.html != nil {
		err = own.html.Execute(&h, v.variables())
	} else {
		err = c.html.Execute(&h, v)
	}
	if err != nil {
		return "", "", err
	}
	if own.plain != nil {
		err = own.plain.Execute(&p, v.variables())
	} else {
		err = c.plain.Execute(&p, v)
	}
	return h.String(), p.String(), err
}

func (c *Composer) view(t *text.Texts, m *outbox.Mail) (*view, error) {
	values := map[string]string{"App": text.Isolate(t, c.brand.App), "Name": text.Isolate(t, m.Name)}
	entry := func(name string) string {
		s, _ := t.Text("mail."+name, values)
		return s
	}
	v := &view{
		colors:    c.brand.colors(),
		Logo:      c.brand.Logo,
		Language:  t.Language(),
		Direction: t.Direction(),
		App:       c.brand.App,
		Company:   c.brand.Company,
		Address:   c.brand.Address,
		Subject:   entry(m.Message + ".subject"),
		Greeting:  entry("greeting"),
		Body:      entry(m.Message + ".body"),
		Note:      entry(m.Message + ".note"),
		Footer:    entry("footer"),
		Facts:     listFacts(t, entry, m),
	}
	if v.Subject == "" || v.Body == "" {
		return nil, fmt.Errorf("there is no message called %q", m.Message)
	}
	if m.Name == "" {
		v.Greeting = entry("greeting-unnamed")
	}
	if link := m.Values["link"]; link != "" {
		v.Link, v.Button, v.Fallback = c.inLanguage(t, link), entry(m.Message+".button"), entry("link-fallback")
	}
	if link := m.Values["link2"]; link != "" {
		v.Link2, v.Button2 = c.inLanguage(t, link), entry(m.Message+".button2")
	}
	if v.Code = m.Values["code"]; v.Code != "" {
		v.CodeIntro = entry("code-intro")
	}
	if n, err := strconv.Atoi(m.Values["minutes"]); err == nil {
		v.Lifetime = lifetime(t, n, v.Link != "", v.Code != "")
	}
	return v, nil
}

// inLanguage returns an address of ours that opens in the language of the message, whatever browser
// opens it. Pages in the server's own language need no parameter.
func (c *Composer) inLanguage(t *text.Texts, link string) string {
	if t == c.texts.For(c.locale) {
		return link
	}
	page, query, found := strings.Cut(link, "?")
	if page += "?ui_locales=" + url.QueryEscape(t.Language()); found {
		page += "&" + query
	}
	return page
}

// lifetime returns how long the link and the code of a message work, in the largest whole unit.
func lifetime(t *text.Texts, minutes int, link, code bool) string {
	id, n := "mail.lifetime-", minutes
	switch {
	case link && code:
		id += "both-"
	case code:
		id += "code-"
	}
	const hour, day = 60, 24 * 60
	switch {
	case code && !link || n < 2*hour || n%hour != 0:
		id += "minutes"
	case n < 2*day || n%day != 0:
		id, n = id+"hours", n/hour
	default:
		id, n = id+"days", n/day
	}
	s, _ := t.Plural(id, n, nil)
	return s
}

// listFacts returns the facts that a message mentions, with times in the person's time zone.
func listFacts(t *text.Texts, entry func(string) string, m *outbox.Mail) (list []fact) {
	for _, name := range facts {
		value := m.Values[name]
		switch name {
		case "time", "until", "ends", "expires", "ready":
			if at, err := time.Parse(time.RFC3339, value); err == nil {
				value = t.Date(inZone(at, m.Zone))
			}
		case "device":
			if value == "" && m.Values["program"]+m.Values["system"] != "" {
				value = t.Device(m.Values["program"], m.Values["system"])
			}
		case "place":
			value = joined(t, "mail.place", m.Values["city"], m.Values["country"])
		}
		if value != "" {
			list = append(list, fact{entry("fact." + name), text.Isolate(t, value)})
		}
	}
	return list
}

// joined returns two values in an entry with the placeholders First and Second. If one is empty, it
// returns the other.
func joined(t *text.Texts, id, first, second string) string {
	if first == "" || second == "" {
		return first + second
	}
	s, _ := t.Text(id, map[string]string{"First": first, "Second": second})
	return s
}

// inZone returns a time in a time zone, or in UTC if there is none of that name.
func inZone(at time.Time, zone string) time.Time {
	where, err := time.LoadLocation(zone)
	if err != nil {
		where = time.UTC
	}
	return at.In(where)
}
