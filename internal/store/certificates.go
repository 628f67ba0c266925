package store

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// PutCertificateFile stores an entry of what certificates are made of, or replaces it. The value
// must be sealed.
func (d *DB) PutCertificateFile(ctx context.Context, name, value string, now time.Time) error {
	_, err := d.sql.Exec(ctx, "INSERT INTO certificate_files (name, value, modified_at)"+
		" VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET"+
		" value = excluded.value, modified_at = excluded.modified_at", name, value, unixMilli(now))
	return err
}

// CertificateFile reads an entry, or NotFound.
func (d *DB) CertificateFile(ctx context.Context, name string) (value string, modified time.Time, err error) {
	err = d.sql.Row(ctx, "SELECT value, modified_at FROM certificate_files WHERE name = $1", name).
		Scan(&value, unixMillis{&modified})
	return value, modified, asNotFound(err, "certificate file")
}

// DeleteCertificateFiles deletes an entry, and all below it. It is not an error if there is none.
func (d *DB) DeleteCertificateFiles(ctx context.Context, name string) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM certificate_files WHERE name = $1 OR name LIKE $2 ESCAPE '!'",
		name, belowName(name))
	return err
}

// CertificateFiles returns the names of all entries below a name, sorted. "" is above all.
func (d *DB) CertificateFiles(ctx context.Context, name string) (names []string, err error) {
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		var one string
		err := r.Scan(&one)
		names = append(names, one)
		return err
	}, "SELECT name FROM certificate_files WHERE name LIKE $1 ESCAPE '!' ORDER BY name", belowName(name))
	return names, err
}

// belowName returns the pattern of the names below a name.
func belowName(name string) string {
	if name == "" {
		return "%"
	}
	escape := strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")
	return escape.Replace(strings.TrimSuffix(name, "/")) + "/%"
}
