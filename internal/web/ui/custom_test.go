package ui

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// ownLogin is a sign-in page of an operator.
const ownLogin = `<h1>{{.app_name}}: welcome</h1>
{{with .error}}<p role="alert">{{.}}</p>{{end}}
{{if .client_name}}<p>for {{.client_name}} <img src="{{.client.logo_uri}}" alt=""></p>{{end}}
<form method="post" action="/login">
<label for="u">{{.T "common.language.label"}}</label><input id="u" name="username" value="{{.username}}" required>
<label for="p">Password</label><input id="p" name="password" type="password" required>
<button id="submit">Go</button>
</form>
`

// ownLayout is a layout of an operator.
const ownLayout = `<!doctype html>
<html lang="{{.lang}}" dir="{{.dir}}">
<head>
</head>
<body class="ours"><main>
{{template "content" .page}}
</main><p>{{.app_tagline}}</p></body>
</html>
`

// files returns a directory of templates from pairs of names and contents.
func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1]), ModTime: time.Unix(int64(len(pairs[i+1])), 0)}
	}
	return fsys
}

func customPages(t *testing.T, c Custom) *Pages {
	t.Helper()
	p, err := NewCustomPages(Brand{Name: "Acme", Tagline: "For <coyotes>"}, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A page and a layout of the operator: hidden fields, scripts and style sheets are put in by us,
// and what strangers write stays text.
func TestReplacedPage(t *testing.T) {
	p := customPages(t, Custom{Files: files("signin.html", ownLogin, layoutFile, ownLayout)})
	v := &LoginView{
		Base: Base{Problem: `<i>"`, Client: &ClientView{Name: "<b>", Logo: "javascript:alert(1)"}, UILocales: "de"},
		Form: Form{Flow: `f"1`, Next: "/account", Hidden: []Pair{{"token", "t1"}}}, Username: `"><script>`, Password: true,
	}
	page := render(t, p, v)
	for _, want := range []string{
		`<input type="hidden" name="flow" value="f&#34;1">`, `<input type="hidden" name="next" value="/account">`,
		`<input type="hidden" name="token" value="t1">`, `<input type="hidden" name="ui_locales" value="de">`,
		"<h1>Acme: welcome</h1>", "&lt;i&gt;&#34;", "for &lt;b&gt;", `value="&#34;&gt;&lt;script&gt;"`, `<body class="ours">`,
		"<p>For &lt;coyotes&gt;</p>", `<html lang="en" dir="ltr">`, "/static/gatehouse-", "/static/once-", "<title>Error: ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s\n%s", want, page)
		}
	}
	if strings.Contains(page, "javascript:") {
		t.Errorf("an address that runs a script\n%s", page)
	}
	// The layout is also that of pages that are not replaced, but not of the account's.
	if page := render(t, p, &LogoutView{}); !strings.Contains(page, `class="ours"`) || !strings.Contains(page, `name="choice"`) {
		t.Errorf("%s", page)
	}
	if page := render(t, p, &AccountView{}); strings.Contains(page, `class="ours"`) {
		t.Error("the account pages have the layout of the others")
	}
}

// The start names the file, the line, and what is wrong.
func TestReplacedPageKeepsItsPromises(t *testing.T) {
	edit := func(old, instead string) fstest.MapFS {
		if !strings.Contains(ownLogin, old) {
			t.Fatalf("the page has no %s", old)
		}
		return files("signin.html", strings.Replace(ownLogin, old, instead, 1))
	}
	layout := func(old, instead string) fstest.MapFS {
		return files(layoutFile, strings.Replace(ownLayout, old, instead, 1))
	}
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"no password":        {edit(`name="password"`, `name="pass"`), `signin.html: the form with action="/login" lacks the field name="password"`},
		"no main button":     {edit(` id="submit"`, ""), `signin.html: the main button or link lacks id="submit"`},
		"another action":     {edit(`action="/login"`, `action="/log-in"`), `action="/login" lacks`},
		"script":             {edit("<h1>", "<script>alert(1)</script><h1>"), "signin.html:1: a script"},
		"script of others":   {edit("<h1>", "\n<script src=\"/x.js\"></script><h1>"), "signin.html:2: a script"},
		"handler":            {edit("<button", `<button onclick="go()"`), `signin.html:7: a script in onclick`},
		"style sheet":        {edit("<h1>", "<style>h1{}</style><h1>"), "signin.html:1: a style sheet in the page; write it to public/theme.css"},
		"style":              {edit("<h1>", `<h1 style="color:red">`), `signin.html:1: a style="…" attribute`},
		"form to others":     {edit(`action="/login"`, `action="https://evil.example/"`), "signin.html:4: a form that is sent to another site"},
		"form to others //":  {edit(`action="/login"`, `action="//evil.example/"`), "signin.html:4: a form that is sent to another site"},
		"button to others":   {edit("<button", `<button formaction="https://evil.example"`), "signin.html:7: a form that is sent to another site"},
		"form by a variable": {edit(`action="/login"`, `action="{{.app_name}}"`), "signin.html: a form that is sent to another site: Acme"},
		"base":               {edit("<h1>", `<base href="https://evil.example/"><h1>`), "signin.html:1: the content security policy does not allow <base>"},
		"javascript":         {edit("<h1>", `<a href=" JavaScript:x()">x</a><h1>`), "signin.html:1: an address in href"},
		"styles of others":   {edit("<h1>", `<link rel="stylesheet" href="https://cdn.example/x.css"><h1>`), "signin.html:1: style sheets, fonts and icons come from this server"},
		"unknown variable":   {edit("{{.username}}", "{{.user_name}}"), `signin.html:5:92: there is no variable "user_name"; did you mean username?`},
		"unseen variable":    {edit(`<p role="alert">{{.}}</p>`, `{{$.eror}}`), `signin.html:2:18: there is no variable "eror"; did you mean error?`},
		"of another page":    {edit("{{.app_name}}", "{{.user_code}}"), "signin.html:1:"},
		"unknown of client":  {edit(".client.logo_uri", ".client.logo_url"), "logo_url"},
		"unknown function":   {edit("{{.app_name}}", "{{shout .app_name}}"), `signin.html:1: function "shout" not defined`},
		"syntax":             {edit("{{end}}", ""), "signin.html"},
		"unknown text":       {edit("common.language.label", "common.language.lable"), "common.language.lable"},
		"jinja":              {edit("{{.app_name}}", "{{ app_name }}"), `signin.html:1: function "app_name" not defined`},
		"empty":              {files("signin.html", " \n"), "signin.html: a template has from 1 byte"},
		"another name":       {files("sign-in.html", ownLogin), "sign-in.html: there is no page of this name to replace; use one of: signin.html"},
		"layout, no page":    {layout(`{{template "content" .page}}`, ""), "layout.html"},
		"layout, no head":    {layout("<head>", ""), "layout.html: there is no <head>"},
		"layout, title":      {layout("</head>", "<title>x</title></head>"), "layout.html:4: remove <title>"},
		"layout, language":   {layout(` lang="{{.lang}}"`, ` lang="en-GB"`), `layout.html: write <html lang="{{.lang}}"`},
		"layout, part":       {layout(`"content"`, `"contents"`), "contents"},
		"page in public":     {files("public/x.html", "x"), "public/x.html: files of this type are not served"},
		"script in public":   {files("public/a/x.js", "x"), "public/a/x.js: files of this type are not served"},
	} {
		_, err := NewCustomPages(Brand{Name: "Acme"}, Custom{Files: c.files})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// The least that replaces each page.
func TestEveryPageCanBeReplaced(t *testing.T) {
	for file, form := range map[string]string{
		"authorize.html": `<h1>{{.client_name}}</h1>{{range .scopes}}<p>{{.name}} {{.description}} {{.icon}}</p>{{end}}{{.redirect_host}}
			<form method="post" action="/consent"><button id="submit" name="consent_action" value="approve">Yes</button>
			<button name="consent_action" value="deny">No</button></form>`,
		"signup.html": `{{if .closed}}<a id="submit" href="{{.signin_url}}">Back</a>{{else}}<form method="post" action="/signup">
			<input name="email" required value="{{.email}}"><input name="name"><input name="username"><input name="password" type="password" required>
			{{template "rules" rules .page.Base .page.Rules}}<button id="submit">Go</button></form>{{end}}`,
		"activate.html": `<form method="POST" action="/activate"><input name="user_code" value="{{.user_code}}" required><button id="submit">Go</button></form>`,
		"forgot-password.html": `<form method="post" action="/forgot-password"><input name="email" required value="{{.email}}">
			<button id="submit">Go</button></form>`,
		"reset-password.html": `<p>{{.reason}}</p><form method="post" action="{{.action}}">
			<input name="new_password" type="password" required>{{template "rules" rules .page.Base .page.Rules}}
			<input name="confirm_password" type="password" required><button id="submit">Go</button></form>`,
		"errors.html": `<h1>{{.heading}}</h1><p>{{.error_description}}</p><a id="submit" href="{{.next_url}}">{{.next_text}}</a>{{.request_id}}`,
	} {
		_, err := NewCustomPages(Brand{Name: "Acme"}, Custom{Files: files(file, form)})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// In development a change shows at once, and a mistake is reported and not shown; in production
// templates are read at the start.
func TestTemplatesAreReadAgain(t *testing.T) {
	for _, reload := range []bool{true, false} {
		fsys := files("signin.html", ownLogin)
		var reported []error
		p := customPages(t, Custom{Files: fsys, Reload: reload, OnError: func(err error) { reported = append(reported, err) }})
		change := func(old, instead string) string {
			body := strings.Replace(string(fsys["signin.html"].Data), old, instead, 1)
			fsys["signin.html"] = files("signin.html", body)["signin.html"]
			return render(t, p, &LoginView{Password: true})
		}
		if page := change("welcome", "good morning"); strings.Contains(page, "good morning") != reload {
			t.Errorf("reload %v: %s", reload, page)
		}
		page := change(` id="submit"`, "")
		if !strings.Contains(page, `id="submit"`) || len(reported) > 0 != reload {
			t.Errorf("reload %v: %v %s", reload, reported, page)
		}
		render(t, p, &LoginView{})
		if len(reported) > 1 {
			t.Errorf("reported %d times", len(reported))
		}
		if page := change("<button", `<button id="submit"`); !strings.Contains(page, "id=\"submit\"") {
			t.Errorf("reload %v: %s", reload, page)
		}
	}
}

// The page that the guide shows passes the checks.
func TestPageOfTheGuide(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/guides/branding.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(guide), "```html\n")
	page, _, found := strings.Cut(page, "```")
	if !found {
		t.Fatal("the guide shows no page")
	}
	customPages(t, Custom{Files: files("signin.html", page)})
}
