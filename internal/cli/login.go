package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/cli/signin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// issuerArg names an OpenID provider. Without it, the server that the commands work on is meant.
type issuerArg struct {
	Issuer string `arg:"" optional:"" help:"Address of the OpenID provider. Default: the last one that you signed in to"`
}

// loginCommand signs a person in to an OpenID provider.
type loginCommand struct {
	Issuer   string   `arg:"" optional:"" help:"Address of the OpenID provider. Default: this machine's server"`
	ClientID string   `default:"${cliClient}" placeholder:"ID" help:"The public client to sign in as. Default: the one that every Gatehouse server has for its command line."`
	Scope    []string `sep:" " placeholder:"SCOPE" help:"What to ask for. Default: your profile, and all that your roles let you manage."`
	Resource string   `placeholder:"URI" help:"The API that the access token is for (RFC 8707)."`
	Device   bool     `xor:"way" help:"Sign in with a browser on any device: a code and a QR code are shown here."`
	Browser  bool     `xor:"way" help:"Sign in with the browser of this machine. Default, where one can be opened."`
	StepUp   bool     `help:"Ask for a new sign-in with a second step, as changes of what matters need."`
	MaxAge   duration `placeholder:"DURATION" help:"Sign in again if the last sign-in is older."`

	again bool   // a new sign-in, whatever the browser remembers
	acr   string // its class, or ""
}

// signedInView is a sign-in as the command line shows it. It has no token.
type signedInView struct {
	Issuer     string    `json:"issuer"`
	ClientID   string    `json:"client_id"`
	Subject    string    `json:"sub"`
	Email      string    `json:"email"`
	Name       string    `json:"name"`
	Scope      string    `json:"scope"`
	SignedInAt timestamp `json:"signed_in_at"`
	ExpiresAt  timestamp `json:"expires_at"`
}

func viewSignedIn(a *signin.Account) signedInView {
	return signedInView{
		Issuer:     a.Issuer,
		ClientID:   a.ClientID,
		Subject:    a.Subject,
		Email:      a.Email,
		Name:       a.Name,
		Scope:      a.Scope,
		SignedInAt: timestamp{a.SignedInAt},
		ExpiresAt:  timestamp{a.Tokens.ExpiresAt},
	}
}

// Run signs in and stores the tokens. The tokens of a former sign-in at the same provider are
// revoked.
func (f *loginCommand) Run(ctx context.Context, c *call) error {
	file, err := signin.OpenFile("", c.Now)
	if err != nil {
		return err
	}
	issuer, err := f.issuer(c)
	if err != nil {
		return err
	}
	p, err := signin.Discover(ctx, issuer)
	if err != nil {
		return err
	}
	a, err := f.signIn(ctx, c, p)
	if err != nil {
		return err
	}
	replaced, err := file.Save(ctx, a)
	if err != nil {
		return fmt.Errorf("the tokens cannot be stored in %s: %w", file.Path(), err)
	}
	if replaced != nil {
		if err := p.Revoke(ctx, replaced); err != nil {
			c.note("the tokens of your former sign-in are still valid: %v", err)
		}
	}
	return c.done(viewSignedIn(a), "You are signed in to %s as %s.", a.Issuer, a.Label())
}

// issuer returns the address of the provider.
func (f *loginCommand) issuer(c *call) (string, error) {
	if issuer := c.issuer(f.Issuer); issuer != "" {
		return issuer, nil
	}
	cfg, err := c.config()
	if err != nil {
		return "", err
	}
	return cfg.Server.BaseURL, nil
}

func (f *loginCommand) signIn(ctx context.Context, c *call, p *signin.Provider) (*signin.Account, error) {
	q := f.request(p.Scopes, c.Now)
	s := &screen{out: c.stderr}
	if f.Device || !f.Browser && !canOpenBrowser() {
		return p.ByDevice(ctx, q, s)
	}
	return p.ByBrowser(ctx, q, s)
}

// request returns what to ask a provider for that lists these scopes.
func (f *loginCommand) request(offered []string, now func() time.Time) signin.Request {
	q := signin.Request{
		ClientID: f.ClientID,
		Scopes:   f.Scope,
		Resource: f.Resource,
		Now:      now,
	}
	if len(q.Scopes) == 0 {
		q.Scopes = defaultScopes(offered)
		if f.ClientID == admin.CommandLineClient && f.Resource == "" {
			// Discovery does not list the scopes of the management API. The server gives of them
			// what the person's roles allow.
			q.Scopes = append(q.Scopes, string(admin.ScopeAll))
		}
	}
	if f.MaxAge > 0 {
		q.MaxAge = fmt.Sprint(int64(time.Duration(f.MaxAge) / time.Second))
	}
	switch {
	case f.again:
		q.ACR, q.Prompt = f.acr, "login"
	case f.StepUp:
		q.ACR, q.Prompt = identity.ACR2, "login"
	}
	return q
}

// defaultScopes returns what the command line asks for, of the scopes that a provider lists.
func defaultScopes(offered []string) []string {
	out := []string{"openid"}
	for _, name := range []string{"profile", "email", "offline_access"} {
		for _, o := range offered {
			if o == name {
				out = append(out, name)
			}
		}
	}
	return out
}

// canOpenBrowser reports whether a browser of this machine would be one that the person sees.
func canOpenBrowser() bool {
	switch {
	case os.Getenv("SSH_CONNECTION") != "" || os.Getenv("SSH_TTY") != "":
		return false
	case runtime.GOOS == "darwin" || runtime.GOOS == "windows":
		return true
	}
	return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}

// screen shows a sign-in on the error stream: the output stream is for results.
type screen struct{ out io.Writer }

// Visit shows the address, and opens it if a program for that is found.
func (s *screen) Visit(address string) {
	fmt.Fprintf(s.out, "Your browser opens to sign in. If it does not, open this address:\n\n  %s\n\n", address)
	openBrowser(address)
}

// Enter shows the address and the code, and a QR code on a terminal.
func (s *screen) Enter(address, code, complete string) {
	fmt.Fprintf(s.out, "On any device, open\n\n  %s\n\nand enter the code\n\n  %s\n\n",
		printable(address), printable(code))
	f, isFile := s.out.(*os.File)
	if complete == "" || !isFile {
		return
	}
	if _, ok := terminal(f); !ok {
		return
	}
	if drawn, err := terminalQR(complete); err == nil {
		fmt.Fprintf(s.out, "or scan this:\n\n%s\n", drawn)
	}
}

// openBrowser tries to open an address. Errors do not matter, because the address is also printed.
func openBrowser(address string) {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	cmd := exec.Command(name, args...)
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }() // so that no finished process stays behind
	}
}

// quietZone is the light margin of a QR code in modules (ISO/IEC 18004 §6.3.8). Readers of screens
// need less than the four of the standard.
const quietZone = 2

// terminalQR returns a text as a QR code of half blocks, two modules in one character. It sets both
// colors, because many readers cannot read a code that is light on dark.
func terminalQR(text string) (string, error) {
	code, err := qr.Encode(text, qr.L, qr.Auto)
	if err != nil {
		return "", err
	}
	n := code.Bounds().Dx()
	dark := func(x, y int) bool {
		if x < 0 || y < 0 || x >= n || y >= n {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	var b strings.Builder
	for y := -quietZone; y < n+quietZone; y += 2 {
		b.WriteString("  \x1b[30;107m") // black on bright white
		for x := -quietZone; x < n+quietZone; x++ {
			switch top, bottom := dark(x, y), dark(x, y+1); {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

// tokenCommand prints an access token of the person who is signed in.
type tokenCommand struct {
	issuerArg
	IDToken  bool     `help:"Print the ID token instead."`
	ValidFor duration `default:"1m" placeholder:"DURATION" help:"Refresh a token that ends sooner."`
}

// tokenView is a token for programs.
type tokenView struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresAt   timestamp `json:"expires_at"`
	Scope       string    `json:"scope"`
	Issuer      string    `json:"issuer"`
}

// Run prints the token alone, so that a script can use it in a header.
func (f *tokenCommand) Run(ctx context.Context, c *call) error {
	file, err := signin.OpenFile("", c.Now)
	if err != nil {
		return err
	}
	a, err := file.Fresh(ctx, c.issuer(f.Issuer), time.Duration(f.ValidFor))
	if err != nil {
		return err
	}
	if f.IDToken {
		if a.IDToken == "" {
			return errors.New("there is no ID token; sign in again")
		}
		return c.done(map[string]string{"id_token": a.IDToken}, "%s", a.IDToken)
	}
	return c.done(tokenView{
		AccessToken: a.Tokens.AccessToken,
		TokenType:   a.Tokens.TokenType,
		ExpiresAt:   timestamp{a.Tokens.ExpiresAt},
		Scope:       a.Scope,
		Issuer:      a.Issuer,
	}, "%s", a.Tokens.AccessToken)
}

// logoutCommand ends a sign-in.
type logoutCommand struct {
	issuerArg
	All bool `help:"Sign out of every provider."`
}

// signedOutView lists the providers that a person signed out of.
type signedOutView struct {
	Issuers []string `json:"issuers"`
}

// Run revokes the tokens at the provider, then deletes them here. If it only deleted them, a copy
// of the file would still work; so a provider that cannot be reached is an error.
func (f *logoutCommand) Run(ctx context.Context, c *call) error {
	file, err := signin.OpenFile("", c.Now)
	if err != nil {
		return err
	}
	accounts, err := f.accounts(c, file)
	if err != nil {
		return err
	}
	var v signedOutView
	for _, a := range accounts {
		p, err := signin.Discover(ctx, a.Issuer)
		if err == nil {
			err = p.Revoke(ctx, &a)
		}
		if err != nil {
			return fmt.Errorf("you are still signed in to %s, because its tokens could not be revoked; try again: %w",
				a.Issuer, err)
		}
		if err := file.Remove(ctx, a.Issuer); err != nil {
			return err
		}
		v.Issuers = append(v.Issuers, a.Issuer)
	}
	return c.done(v, "You are signed out of %s.", strings.Join(v.Issuers, ", "))
}

func (f *logoutCommand) accounts(c *call, file *signin.File) ([]signin.Account, error) {
	if f.All {
		all, err := file.Accounts()
		if err == nil && len(all) == 0 {
			err = &signin.SignedOutError{}
		}
		return all, err
	}
	a, err := file.Account(c.issuer(f.Issuer))
	if err != nil {
		return nil, err
	}
	return []signin.Account{*a}, nil
}
