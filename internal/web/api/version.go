package api

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/management"
)

// etag returns the tag of a version (RFC 9110 §8.8.3).
func etag(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }

// noVersion is a version that nothing has: a change that expects it is rejected.
const noVersion = -1

// ifVersion returns the version that a change expects by If-Match, or 0 for any. A tag of another
// form is of a version that nothing has; so is a weak one, which never matches (RFC 9110 §13.1.1).
func ifVersion(header *string) int64 {
	tag := strings.TrimSpace(value(header))
	if tag == "" || tag == "*" {
		return 0
	}
	number, ok := strings.CutPrefix(tag, `"v`)
	number, closed := strings.CutSuffix(number, `"`)
	v, err := strconv.ParseInt(number, 10, 64)
	if !ok || !closed || err != nil || v <= 0 {
		return noVersion
	}
	return v
}

// address returns the address of a thing below the root under which the caller has called.
func address(ctx context.Context, segments ...string) string {
	base := root
	if strings.HasPrefix(exchangeOf(ctx).r.URL.Path, versioned) {
		base = versioned
	}
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return base + strings.Join(segments, "/")
}

// warnings returns warnings for an answer, or nil if there are none.
func warnings(all []admin.Warning) *[]management.Warning {
	if len(all) == 0 {
		return nil
	}
	out := make([]management.Warning, 0, len(all))
	for _, w := range all {
		out = append(out, management.Warning{Code: w.Code, Subject: w.Subject, Nearest: optional(w.Nearest)})
	}
	return &out
}
