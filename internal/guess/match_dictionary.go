package guess

import (
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/trustelem/zxcvbn/frequency"
	"github.com/trustelem/zxcvbn/match"
)

// ownWords is the name of the dictionary of the words that Estimate is given.
const ownWords = "user_inputs"

// loadIndex returns the index of the word lists, which it builds at the first call.
var loadIndex = sync.OnceValue(newIndex)

// An index finds the words of all lists. Its slots hold the number of a word, or 0, at the place of
// the word's hash or the next free one after it. The words themselves are constants of the program.
type index struct {
	lists   []list
	slots   []uint32
	longest int // bytes of the longest word
}

// A list is a word list, the most frequent word first.
type list struct {
	name  string
	words []string
	first uint32 // the number of its first word
}

// newIndex returns the index of the lists of package frequency.
func newIndex() *index {
	x := &index{}
	total := uint32(1) // 0 marks a free slot
	for name, words := range frequency.FrequencyLists {
		x.lists = append(x.lists, list{name, words, total})
		total += uint32(len(words))
	}
	size := uint32(1)
	for size < 2*total { // at most half full, so that few slots are read for a word that is missing
		size *= 2
	}
	x.slots = make([]uint32, size)
	for _, l := range x.lists {
		for i, word := range l.words {
			x.longest = max(x.longest, len(word))
			h := hashStart
			for j := range len(word) {
				h = hash(h, word[j])
			}
			at := x.slot(h)
			for x.slots[at] != 0 {
				at = x.next(at)
			}
			x.slots[at] = l.first + uint32(i)
		}
	}
	return x
}

// hash adds a byte to a hash, which begins with hashStart (FNV-1a).
func hash(h uint32, b byte) uint32 { return (h ^ uint32(b)) * 16777619 }

const hashStart uint32 = 2166136261

// slot returns where the words with a hash begin.
func (x *index) slot(h uint32) uint32 { return (h ^ h>>15) & uint32(len(x.slots)-1) }

// next returns the slot after another.
func (x *index) next(at uint32) uint32 { return (at + 1) & uint32(len(x.slots)-1) }

// find calls found with the list and the rank of a word, for each list that contains it.
func (x *index) find(h uint32, word string, found func(dictionary string, rank int)) {
	for at := x.slot(h); x.slots[at] != 0; at = x.next(at) {
		n := x.slots[at]
		i := slices.IndexFunc(x.lists, func(l list) bool {
			return n >= l.first && n < l.first+uint32(len(l.words))
		})
		if l := x.lists[i]; l.words[n-l.first] == word {
			found(l.name, int(n-l.first)+1)
		}
	}
}

// ranks returns the ranks of words that are given in the order of their likelihood.
func ranks(words []string) map[string]int {
	out := make(map[string]int, len(words))
	for i, w := range words {
		out[strings.ToLower(w)] = i + 1
	}
	return out
}

// dictionaryMatches returns the parts of a text that are words.
func dictionaryMatches(chars []rune, own map[string]int) []*match.Match {
	var out []*match.Match
	x := loadIndex()
	lower, starts := lowered(chars)
	for i := range chars {
		h := hashStart
		hashed := starts[i]
		for j := i; j < len(chars); j++ {
			for ; hashed < starts[j+1]; hashed++ {
				h = hash(h, lower[hashed])
			}
			word := lower[starts[i]:hashed]
			found := func(dictionary string, rank int) {
				out = append(out, &match.Match{
					Pattern: "dictionary", DictionaryName: dictionary, MatchedWord: word, Rank: rank,
					Token: string(chars[i : j+1]), I: i, J: j,
				})
			}
			if len(word) <= x.longest {
				x.find(h, word, found)
			}
			if rank := own[word]; rank > 0 {
				found(ownWords, rank)
			}
		}
	}
	match.Sort(out)
	return out
}

// lowered returns a text in lower case, and where its characters begin and the last one ends.
func lowered(chars []rune) (string, []int) {
	var lower strings.Builder
	starts := make([]int, 0, len(chars)+1)
	for _, r := range chars {
		starts = append(starts, lower.Len())
		lower.WriteRune(unicode.ToLower(r))
	}
	return lower.String(), append(starts, lower.Len())
}

// reversedMatches returns the parts of a text that are words written backwards.
func reversedMatches(chars []rune, own map[string]int) []*match.Match {
	backwards := slices.Clone(chars)
	slices.Reverse(backwards)
	out := dictionaryMatches(backwards, own)
	for _, m := range out {
		m.Reversed = true
		m.I, m.J = len(chars)-1-m.J, len(chars)-1-m.I
		m.Token = string(chars[m.I : m.J+1])
	}
	match.Sort(out)
	return out
}
