package app

import (
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/internal/text"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// customFiles returns the directory TEMPLATES_PATH, or nil if it is not set. Links in it do not
// lead out of it.
func customFiles(c *config.Config) (fs.FS, error) {
	if c.Branding.TemplatesPath == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(c.Branding.TemplatesPath)
	if err != nil {
		return nil, fault.New(fault.Invalid, "TEMPLATES_PATH is %q, which cannot be opened: %v", c.Branding.TemplatesPath, err)
	}
	return root.FS(), nil
}

// inTemplates returns an error as one about the operator's templates.
func inTemplates(c *config.Config, err error) error {
	if c.Branding.TemplatesPath == "" {
		return err
	}
	return fmt.Errorf("TEMPLATES_PATH %s: %w", c.Branding.TemplatesPath, err)
}

// newPages returns the pages with what the operator has replaced of them.
func newPages(c *config.Config, log *slog.Logger, texts *text.Catalogues) (*ui.Pages, error) {
	custom, err := customFiles(c)
	if err != nil {
		return nil, err
	}
	pages, err := ui.NewCustomPages(pageBrand(c, custom), ui.Custom{
		Files:   custom,
		Texts:   texts,
		Reload:  !c.Production(),
		OnError: func(err error) { log.Warn("a template is not used", "error", inTemplates(c, err)) },
	})
	if err != nil {
		return nil, inTemplates(c, err)
	}
	return pages, nil
}

// brandOf returns the branding settings, with pictures that lie at their usual places below
// TEMPLATES_PATH.
func brandOf(c *config.Config, custom fs.FS) config.Branding {
	b := c.Branding
	for _, picture := range []struct {
		at   *string
		name string
	}{
		{&b.LogoURL, "/images/logo.png"},
		{&b.LogoDarkURL, "/images/logo-dark.png"},
		{&b.FaviconURL, "/images/favicon.ico"},
	} {
		if *picture.at != "" || custom == nil {
			continue
		}
		if info, err := fs.Stat(custom, "public"+picture.name); err == nil && info.Mode().IsRegular() {
			*picture.at = picture.name
		}
	}
	return b
}

// pageBrand returns how pages present the server.
func pageBrand(c *config.Config, custom fs.FS) ui.Brand {
	b := brandOf(c, custom)
	return ui.Brand{
		Name:       b.AppName,
		Tagline:    b.Tagline,
		Company:    b.CompanyName,
		Address:    b.CompanyAddress,
		Logo:       b.LogoURL,
		LogoDark:   b.LogoDarkURL,
		Favicon:    b.FaviconURL,
		TermsURL:   b.TermsURL,
		PrivacyURL: b.PrivacyURL,
		SupportURL: b.SupportURL,
		Theme:      string(b.Theme),
		Primary:    b.PrimaryColor,
		Locale:     c.Accounts.DefaultLocale,
	}
}

// mailBrand returns how messages present the server. It leaves out a logo that mail programs do not
// show, such as an SVG.
func mailBrand(c *config.Config, custom fs.FS) mail.Brand {
	b := brandOf(c, custom)
	out := mail.Brand{App: b.AppName, Company: b.CompanyName, Address: b.CompanyAddress, Primary: b.PrimaryColor}
	u, err := url.Parse(b.LogoURL)
	if err != nil || !slices.Contains([]string{".png", ".jpg", ".jpeg", ".gif"}, strings.ToLower(path.Ext(u.Path))) {
		return out
	}
	if out.Logo = b.LogoURL; u.Scheme == "" {
		out.Logo = c.Server.BaseURL + b.LogoURL
	}
	return out
}
