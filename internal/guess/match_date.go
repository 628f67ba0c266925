package guess

import (
	"slices"
	"strconv"
	"strings"

	"github.com/trustelem/zxcvbn/match"
	"github.com/trustelem/zxcvbn/scoring"
)

// The years that a number of three or more digits may mean.
const (
	minYear = 1000
	maxYear = 2050
)

// yearMatches returns the years of our time in a text.
func yearMatches(text string) []*match.Match {
	var out []*match.Match
	for i := 0; i+4 <= len(text); i++ {
		token := text[i : i+4]
		if !all(token, '0', '9') || token[:2] != "19" && token[:3] != "200" && token[:3] != "201" {
			continue
		}
		out = append(out, &match.Match{
			Pattern: "regex", RegexName: "recent_year", Token: token, I: i, J: i + 3,
		})
		i += 3
	}
	return out
}

// A date is a day that a text may mean.
type date struct{ day, month, year int }

// dateMatches returns the dates in a text, with a separator or without, but none within another.
func dateMatches(text string) []*match.Match {
	var found []*match.Match
	add := func(i, j int, d *date, separator string) {
		if d != nil {
			found = append(found, &match.Match{
				Pattern: "date", Token: text[i : j+1], I: i, J: j, Separator: separator,
				Year: d.year, Month: d.month, Day: d.day,
			})
		}
	}
	for i := range text {
		for j := i + 3; j < min(len(text), i+8); j++ { // 1191 to 11111991
			add(i, j, plainDate(text[i:j+1]), "")
		}
		for j := i + 5; j < min(len(text), i+10); j++ { // 1/1/91 to 11/11/1991
			d, separator := separatedDate(text[i : j+1])
			add(i, j, d, separator)
		}
	}
	var out []*match.Match
	for _, m := range found {
		if !slices.ContainsFunc(found, func(o *match.Match) bool {
			return o != m && o.I <= m.I && o.J >= m.J
		}) {
			out = append(out, m)
		}
	}
	match.Sort(out)
	return out
}

// plainDate returns the date that a number of four to eight digits may mean: of several, the one
// whose year is the nearest.
func plainDate(token string) *date {
	if !all(token, '0', '9') {
		return nil
	}
	var best *date
	for _, at := range splits(len(token)) {
		d := newDate(token[:at[0]], token[at[0]:at[1]], token[at[1]:])
		if d != nil && (best == nil || d.distance() < best.distance()) {
			best = d
		}
	}
	return best
}

// splits returns where the second and the third part of a date with n digits may begin.
func splits(n int) [][2]int {
	switch n {
	case 4:
		return [][2]int{{1, 2}, {2, 3}}
	case 5:
		return [][2]int{{1, 3}, {2, 3}}
	case 6:
		return [][2]int{{1, 2}, {2, 4}, {4, 5}}
	case 7:
		return [][2]int{{1, 3}, {2, 3}, {4, 5}, {4, 6}}
	}
	return [][2]int{{2, 4}, {4, 6}}
}

// separatedDate returns the date that a text such as "1.12.91" means, and its separator.
func separatedDate(token string) (*date, string) {
	at := strings.IndexFunc(token, isSeparator)
	if at < 0 {
		return nil, ""
	}
	separator := token[at : at+1]
	parts := strings.Split(token, separator)
	if len(parts) != 3 {
		return nil, ""
	}
	for i, longest := range []int{4, 2, 4} {
		if n := len(parts[i]); n == 0 || n > longest || !all(parts[i], '0', '9') {
			return nil, ""
		}
	}
	return newDate(parts[0], parts[1], parts[2]), separator
}

// isSeparator reports whether people write a character between the parts of a date.
func isSeparator(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r/\\_.-", r) }

// newDate returns the date of three numbers, where the year is the first or the last, or nil.
func newDate(first, second, third string) *date {
	var n [3]int
	for i, s := range []string{first, second, third} {
		n[i], _ = strconv.Atoi(s) // digits, at most four
	}
	if n[1] < 1 || n[1] > 31 {
		return nil
	}
	var over12, over31, zero int
	for _, v := range n {
		if v > 99 && v < minYear || v > maxYear {
			return nil
		}
		if v > 12 {
			over12++
		}
		if v > 31 {
			over31++
		}
		if v == 0 {
			zero++
		}
	}
	if over31 >= 2 || over12 == 3 || zero >= 2 {
		return nil
	}
	orders := [][3]int{{n[2], n[0], n[1]}, n} // the year last, or first
	for _, o := range orders {
		if o[0] >= minYear {
			return dayOfYear(o) // four digits are the year, or it is no date
		}
	}
	for _, o := range orders {
		if d := dayOfYear(o); d != nil {
			return d
		}
	}
	return nil
}

// dayOfYear returns the date of a year and of two numbers that are a day and a month, or nil.
func dayOfYear(n [3]int) *date {
	year, day, month := n[0], n[1], n[2]
	switch {
	case year > 99:
	case year > 50:
		year += 1900
	default:
		year += 2000
	}
	if day > 31 || month > 12 {
		day, month = month, day
	}
	if day > 31 || month > 12 {
		return nil
	}
	return &date{day, month, year}
}

// distance returns the years from now to a date.
func (d *date) distance() int {
	years := d.year - scoring.ReferenceYear
	return max(years, -years)
}
