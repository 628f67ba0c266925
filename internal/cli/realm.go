package cli

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/config"
)

// Realms manages the realms of a server, which REALMS_FILE describes.
type Realms struct {
	// Configs returns the settings of all realms, in the order of the file.
	Configs func(cfg *config.Config) ([]*config.Config, error)
	// Create adds a realm to the file, and returns its settings.
	Create func(cfg *config.Config, r NewRealm) (*config.Config, error)
	// Delete removes a realm from the file, and returns the settings that it had.
	Delete func(cfg *config.Config, name string) (*config.Config, error)
}

// NewRealm describes a realm to add.
type NewRealm struct {
	Name     string
	BaseURL  string
	Database string // "": the default
	Reuse    bool   // the key or the database of a former realm of that name
}

// realmCommands manage the realms of a server.
type realmCommands struct {
	Create realmCreate `cmd:"" help:"Add a realm: an issuer with a host, a database, keys and settings of its own."`
	List   realmList   `cmd:"" aliases:"ls" help:"List the realms."`
	Delete realmDelete `cmd:"" aliases:"rm" help:"Stop serving a realm. Its database stays."`
}

// realmView is a realm as the command line shows it.
type realmView struct {
	Name     string `json:"name"`
	Issuer   string `json:"issuer"`
	Engine   string `json:"engine"`
	Database string `json:"database,omitempty"` // the file of SQLite
}

func viewRealm(c *config.Config) realmView {
	return realmView{
		Name:     c.Realm,
		Issuer:   c.Server.BaseURL,
		Engine:   c.Engine(),
		Database: c.DatabaseFile(),
	}
}

// ofServer returns the settings of the server itself.
func (c *call) ofServer() (*config.Config, error) {
	if c.realm != "" {
		return nil, wrong("this command takes the name of the realm as an argument; leave --realm out")
	}
	return c.config()
}

// realmCreate adds a realm.
type realmCreate struct {
	Name     string `arg:"" help:"The name: letters a–z, digits and -."`
	At       string `required:"" placeholder:"URL" help:"The address of the realm, which is its issuer, such as https://acme.example.com."`
	Database string `placeholder:"URL" help:"The realm's database. The default is an SQLite file beside that of the server."`
	Reuse    bool   `help:"Use the key and the database that a deleted realm of that name left, with all its users."`
}

// Run adds the realm to REALMS_FILE and makes its key and its database.
func (f *realmCreate) Run(ctx context.Context, c *call) error {
	cfg, err := c.ofServer()
	if err != nil {
		return err
	}
	if wrongAt := cfg.AddressProblem("--at", strings.TrimSuffix(f.At, "/")); wrongAt != "" {
		return wrong("%s", wrongAt)
	}
	made, err := c.Realms.Create(cfg, NewRealm{
		Name:     f.Name,
		BaseURL:  f.At,
		Database: f.Database,
		Reuse:    f.Reuse,
	})
	if err != nil {
		return err
	}
	if _, err := c.Migrate(ctx, made, false); err != nil {
		return err
	}
	v := viewRealm(made)
	return c.show(v, func(t *table) {
		t.line("The realm %s is in %s. A server that runs with this file serves it at %s within",
			v.Name, cfg.Server.RealmsFile, v.Issuer)
		t.line("seconds. To become its administrator, run:")
		t.line("")
		t.line("  gatehouse --realm %s setup-link", v.Name)
	})
}

// realmList lists the realms.
type realmList struct{}

// Run lists the realms of REALMS_FILE.
func (f *realmList) Run(c *call) error {
	cfg, err := c.ofServer()
	if err != nil {
		return err
	}
	all, err := c.Realms.Configs(cfg)
	if err != nil {
		return err
	}
	views := []realmView{}
	for _, x := range all {
		views = append(views, viewRealm(x))
	}
	return showList(c, views, len(views), func(t *table) {
		t.row("NAME", "ISSUER", "DATABASE")
		for _, v := range views {
			where := v.Database
			if where == "" {
				where = v.Engine
			}
			t.row(v.Name, v.Issuer, where)
		}
	})
}

// realmDelete stops serving a realm.
type realmDelete struct {
	Name string `arg:"" help:"The name of the realm."`
}

// Run removes the realm from REALMS_FILE.
func (f *realmDelete) Run(c *call) error {
	cfg, err := c.ofServer()
	if err != nil {
		return err
	}
	was, err := c.Realms.Delete(cfg, f.Name)
	if err != nil {
		return err
	}
	v := viewRealm(was)
	where := v.Database
	if where == "" {
		where = "as it is"
	}
	return c.done(v, "The realm %s is no longer in REALMS_FILE; a running server stops serving it within seconds. Its database stays: %s",
		v.Name, where)
}
