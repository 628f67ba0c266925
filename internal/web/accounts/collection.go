package accounts

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxPage is the size of the largest page of a collection that a caller may ask for.
const maxPage = 500

// An item is an element of a collection. The sort keys are those that sort names, with the id.
type item interface {
	key() string // unique in the collection
	sorted(by string) (value int64, text string, ok bool)
}

// page describes the part of a collection that an answer holds.
type page struct {
	Size       int     `json:"size"`
	NextCursor *string `json:"nextCursor"`
	PrevCursor *string `json:"prevCursor"`
	Sort       *string `json:"sort"`
}

// A pageQuery is what the parameters of a request ask for: pg[size], pg[cursor] and sort.
type pageQuery struct {
	size   int    // 0: all
	after  string // the key of the item before the page, or ""
	before string // the key of the item behind the page, or ""
	sort   string // as it was asked for
}

// readPage reads the parameters of a collection.
func readPage(in url.Values) (q pageQuery, err error) {
	if raw := in.Get("pg[size]"); raw != "" {
		q.size, err = strconv.Atoi(raw)
		if err != nil || q.size < 1 || q.size > maxPage {
			return q, invalidField("pg[size]", "This must be a number from 1 to "+strconv.Itoa(maxPage)+".")
		}
	}
	if raw := in.Get("pg[cursor]"); raw != "" {
		plain, err := base64.RawURLEncoding.DecodeString(raw)
		key, backward := strings.CutPrefix(string(plain), "<")
		switch {
		case err != nil:
			return q, badCursor()
		case backward:
			q.before = key
		default:
			key, ok := strings.CutPrefix(string(plain), ">")
			if !ok {
				return q, badCursor()
			}
			q.after = key
		}
	}
	q.sort = in.Get("sort")
	return q, nil
}

func badCursor() error {
	return invalidField("pg[cursor]", "This cursor is none of this list, or what it names has gone. "+
		"Begin again without a cursor.")
}

// sortItems sorts a collection by the names of a parameter, separated by commas; a name after a
// minus sorts downwards.
func sortItems[T item](all []T, by string) error {
	if by == "" {
		return nil
	}
	names := strings.Split(by, ",")
	for _, name := range names {
		var none T
		if _, _, ok := none.sorted(strings.TrimPrefix(name, "-")); !ok {
			return invalidField("sort", "This list cannot be sorted by "+strconv.Quote(name)+".")
		}
	}
	slices.SortStableFunc(all, func(a, b T) int {
		for _, name := range names {
			bare, down := strings.CutPrefix(name, "-")
			an, at, _ := a.sorted(bare)
			bn, bt, _ := b.sorted(bare)
			order := cmp.Or(cmp.Compare(an, bn), strings.Compare(at, bt))
			if down {
				order = -order
			}
			if order != 0 {
				return order
			}
		}
		return strings.Compare(a.key(), b.key())
	})
	return nil
}

// cut returns the page of a sorted collection, and what describes it.
func cut[T item](all []T, q pageQuery) ([]T, page, error) {
	find := func(key string) int { return slices.IndexFunc(all, func(x T) bool { return x.key() == key }) }
	from, to := 0, len(all)
	switch {
	case q.after != "":
		i := find(q.after)
		if i < 0 {
			return nil, page{}, badCursor()
		}
		from = i + 1
	case q.before != "":
		if to = find(q.before); to < 0 {
			return nil, page{}, badCursor()
		}
		if q.size > 0 {
			from = max(0, to-q.size)
		}
	}
	if q.size > 0 {
		to = min(to, from+q.size)
	}
	p := page{Size: to - from}
	if q.sort != "" {
		p.Sort = &q.sort
	}
	cursor := func(way, key string) *string {
		c := base64.RawURLEncoding.EncodeToString([]byte(way + key))
		return &c
	}
	if from < to && to < len(all) {
		p.NextCursor = cursor(">", all[to-1].key())
	}
	if from > 0 && from < len(all) {
		p.PrevCursor = cursor("<", all[from].key())
	}
	return all[from:to], p, nil
}

// writeAll answers with the part of a collection that the request asks for.
func writeAll[T item](w http.ResponseWriter, c *call, all []T) error {
	q, err := readPage(c.r.URL.Query())
	if err != nil {
		return err
	}
	if err := sortItems(all, q.sort); err != nil {
		return err
	}
	part, p, err := cut(all, q)
	if err != nil {
		return err
	}
	if part == nil {
		part = []T{}
	}
	type meta struct {
		Page page `json:"pg"`
	}
	write(w, c.r, http.StatusOK, struct {
		T    string `json:"t"`
		Data []T    `json:"data"`
		Meta meta   `json:"meta"`
	}{"collection", part, meta{p}})
	return nil
}

// number returns the value of an optional number; one that is missing is the smallest.
func number(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

func (v sessionView) key() string { return v.ID }

func (v sessionView) sorted(by string) (int64, string, bool) {
	switch by {
	case "id":
		return 0, v.ID, true
	case "createdMs":
		return number(v.CreatedMs), "", true
	case "expiresMs":
		return number(v.ExpiresMs), "", true
	case "userAgent":
		return 0, v.UserAgent, true
	case "ip":
		return 0, v.IP, true
	}
	return 0, "", false
}

func (v emailView) key() string { return v.ID }

func (v emailView) sorted(by string) (int64, string, bool) {
	switch by {
	case "id":
		return 0, v.ID, true
	case "createdMs":
		return number(v.CreatedMs), "", true
	case "verifiedMs":
		return number(v.VerifiedMs), "", true
	}
	return 0, "", false
}

func (v userView) key() string { return v.ID }

func (v userView) sorted(by string) (int64, string, bool) {
	switch by {
	case "id":
		return 0, v.ID, true
	case "name":
		return 0, v.Name, true
	case "createdMs":
		return number(v.CreatedMs), "", true
	}
	return 0, "", false
}

func (v roleView) key() string { return v.ID }

func (v roleView) sorted(by string) (int64, string, bool) { return 0, v.ID, by == "id" }
