package api

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// defaultLimit is how many items a page has unless the caller says otherwise.
const defaultLimit = 50

func limit(p *int) int {
	if p == nil {
		return defaultLimit
	}
	return *p
}

// page returns which part of a list a request is for. exact says that all items are counted.
func page(n, offset *int, cursor *string, exact bool) admin.Page {
	return admin.Page{Limit: limit(n), Offset: value(offset), Cursor: value(cursor), Exact: exact}
}

// atLeast returns the member total_is of a list.
func atLeast(more bool) *string {
	if !more {
		return nil
	}
	text := "at_least"
	return &text
}

// part returns a page of a list that is read whole.
func part[T any](all []T, limit, offset int) []T {
	offset = min(offset, len(all))
	return all[offset:min(offset+limit, len(all))]
}

// bound reads a bound of times: a time (RFC 3339), or a date, which stands for its beginning in
// UTC. With after, the date stands for its end.
func bound(name string, text *string, after bool) (time.Time, error) {
	if text == nil {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, *text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, *text)
	if err != nil {
		return t, wrong(name, "This is not a date such as 2026-05-04, or a time such as 2026-05-04T10:00:00Z.")
	}
	if after {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}
