package api

import "strconv"

// defaultLimit is how many items a page has unless the caller says otherwise.
const defaultLimit = 50

func limit(p *int) int {
	if p == nil {
		return defaultLimit
	}
	return *p
}

// etag returns the tag of a version (RFC 9110 §8.8.3).
func etag(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }
