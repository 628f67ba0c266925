package cli

import (
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// pageFlags select a part of a list.
type pageFlags struct {
	Limit  int `short:"n" default:"100" help:"How many items to show, at most 1000."`
	Offset int `help:"How many items to skip, at most 10000."`
}

// listFlags select a part of a list that may be long.
type listFlags struct {
	pageFlags
	Cursor string `placeholder:"CURSOR" help:"Continue behind the page that printed this cursor."`
	Exact  bool   `help:"Count all items, however long it takes. Default: up to 10000."`
}

// page returns the part of the list.
func (f listFlags) page() admin.Page {
	return admin.Page{Limit: f.Limit, Offset: f.Offset, Cursor: f.Cursor, Exact: f.Exact}
}

func (p pageFlags) check() error {
	if p.Limit < 1 || p.Limit > admin.MaxPage {
		return wrong("--limit is %d; it takes 1 to %d", p.Limit, admin.MaxPage)
	}
	if p.Offset < 0 {
		return wrong("--offset is %d; it cannot be negative", p.Offset)
	}
	if p.Offset > admin.MaxOffset {
		return wrong("--offset is %d; go further than %d with --cursor", p.Offset, admin.MaxOffset)
	}
	return nil
}

// sortOf returns the order that a flag names.
func sortOf(flag string) admin.Sort {
	by, desc := strings.CutPrefix(flag, "-")
	return admin.Sort{By: by, Desc: desc}
}

// moment is a time on the command line: RFC 3339, or a day, which begins at midnight UTC.
type moment struct{ time.Time }

// UnmarshalText parses one.
func (m *moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			m.Time = t
			return nil
		}
	}
	return wrong("%q is not a time; write it as 2026-11-28 or 2026-11-28T13:00:00Z", text)
}

// duration is a duration on the command line, in the forms that field.ParseDuration accepts.
type duration time.Duration

// UnmarshalText parses one.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := field.ParseDuration(string(text))
	if err != nil {
		return usageError{err}
	}
	*d = duration(parsed)
	return nil
}
