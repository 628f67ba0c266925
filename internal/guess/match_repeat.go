package guess

import (
	"slices"

	"github.com/trustelem/zxcvbn/match"
)

// repeatMatches returns the parts of a text that repeat a shorter one.
func repeatMatches(chars []rune) []*match.Match {
	var out []*match.Match
	for from := 0; from < len(chars); {
		base, count := repetition(chars[from:])
		if count < 2 {
			from++
			continue
		}
		token := string(chars[from : from+base])
		guesses, parts := mostGuessable(token, nil)
		end := from + base*count
		out = append(out, &match.Match{
			Pattern: "repeat", BaseToken: token, BaseGuesses: guesses, BaseMatches: parts,
			RepeatCount: count, Token: string(chars[from:end]),
			I: from, J: end - 1,
		})
		from = end
	}
	return out
}

// repetition returns how many characters at the beginning of a text are repeated, and how often
// they stand there: the shortest ones, unless longer ones cover more of the text, as in "aabaab".
// The longer ones may themselves repeat shorter ones.
func repetition(chars []rune) (base, count int) {
	shortest, longest := 0, 0
	for n := 1; 2*n <= len(chars); n++ {
		if slices.Contains(chars[:n], '\n') {
			break
		}
		if repeats(chars, n) > 1 {
			if shortest == 0 {
				shortest = n
			}
			longest = n
		}
	}
	if shortest == 0 {
		return 0, 0
	}
	short, long := shortest*repeats(chars, shortest), longest*repeats(chars, longest)
	if long <= short {
		return shortest, short / shortest
	}
	for n := 1; n < longest; n++ {
		if long%n == 0 && repeats(chars[:long], n)*n == long {
			return n, long / n
		}
	}
	return longest, long / longest
}

// repeats returns how often the first n characters of a text stand at its beginning.
func repeats(chars []rune, n int) int {
	count := 1
	for at := n; at+n <= len(chars) && slices.Equal(chars[:n], chars[at:at+n]); at += n {
		count++
	}
	return count
}
