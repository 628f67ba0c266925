package cli

import (
	"context"
	"io"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// clientExport writes clients.
type clientExport struct {
	File                string `arg:"" optional:"" default:"-" help:"The file, or - for stdout. It must not exist."`
	Format              string `placeholder:"FORMAT" help:"json (an object a line) or csv. Default: by the name of the file."`
	Search              string `help:"Only clients with words in id or name that begin like this."`
	Type                string `placeholder:"TYPE" help:"Only clients of this type: public or confidential."`
	SecretExpiresBefore moment `placeholder:"TIME" help:"Only clients with a secret that expires before this time."`
}

// Run exports the clients.
func (f *clientExport) Run(ctx context.Context, c *call) error {
	in := admin.ClientExport{
		Query: admin.ClientQuery{
			Search: f.Search, Type: f.Type, SecretExpiresBefore: f.SecretExpiresBefore.Time,
		},
		Format: formatOf(f.File, f.Format),
	}
	n := 0
	err := c.exportTo(f.File, func(out io.Writer) error {
		return c.manage(ctx, func(ops operations, a admin.Actor) (err error) {
			n, err = ops.ExportClients(ctx, a, in, out)
			return err
		})
	})
	if err != nil {
		return explainQuery(err)
	}
	if f.File == "-" {
		return nil // stdout has the clients
	}
	what := "clients are"
	if n == 1 {
		what = "client is"
	}
	return c.done(object{{"result", "exported"}, {"clients", n}}, "%d %s in %s.", n, what, f.File)
}
