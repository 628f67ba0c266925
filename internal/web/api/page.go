package api

// defaultLimit is how many items a page has unless the caller says otherwise.
const defaultLimit = 50

func limit(p *int) int {
	if p == nil {
		return defaultLimit
	}
	return *p
}

// part returns a page of a list that is read whole.
func part[T any](all []T, limit, offset int) []T {
	offset = min(offset, len(all))
	return all[offset:min(offset+limit, len(all))]
}
