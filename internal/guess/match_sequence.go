package guess

import "github.com/trustelem/zxcvbn/match"

// maxStep is the largest distance between two characters of a sequence.
const maxStep = 5

// sequenceMatches returns the parts of a text whose characters have the same distance, as in "abc"
// and "9630".
func sequenceMatches(text string) []*match.Match {
	var out []*match.Match
	if len(text) < 2 {
		return nil
	}
	add := func(i, j, step int) {
		size := max(step, -step)
		if size == 0 || size > maxStep || j-i < 2 && size != 1 {
			return
		}
		name, space := alphabet(text[i : j+1])
		out = append(out, &match.Match{
			Pattern: "sequence", I: i, J: j, Token: text[i : j+1],
			SequenceName: name, SequenceSpace: space, Ascending: step > 0,
		})
	}
	from, last := 0, int(text[1])-int(text[0])
	for k := 2; k < len(text); k++ {
		step := int(text[k]) - int(text[k-1])
		if step == last {
			continue
		}
		add(from, k-1, last)
		from, last = k-1, step
	}
	add(from, len(text)-1, last)
	return out
}

// alphabet returns what the characters of a sequence are, and how many of them there are.
func alphabet(token string) (name string, size int) {
	switch {
	case all(token, 'a', 'z'):
		return "lower", 26
	case all(token, 'A', 'Z'):
		return "upper", 26
	case all(token, '0', '9'):
		return "digits", 10
	}
	return "unicode", 26
}

// all reports whether a text has no other bytes than those from one to another.
func all(text string, from, to byte) bool {
	for i := range len(text) {
		if text[i] < from || text[i] > to {
			return false
		}
	}
	return true
}
