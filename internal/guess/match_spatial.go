package guess

import (
	"strings"

	"github.com/trustelem/zxcvbn/adjacency"
	"github.com/trustelem/zxcvbn/match"
)

// shifted are the characters of a keyboard that need the shift key.
const shifted = `~!@#$%^&*()_+QWERTYUIOP{}|ASDFGHJKL:"ZXCVBNM<>?`

// spatialMatches returns the parts of a text whose keys lie side by side.
func spatialMatches(text string) []*match.Match {
	var out []*match.Match
	for _, name := range []string{"qwerty", "dvorak", "keypad", "mac_keypad"} {
		for i := 0; i < len(text)-1; {
			m := keyRun(text, i, adjacency.Graphs[name])
			if m.J-m.I > 1 { // two keys side by side are chance
				out = append(out, m)
			}
			i = m.J + 1
		}
	}
	match.Sort(out)
	return out
}

// keyRun returns the longest run of neighboring keys that begins at a place.
func keyRun(text string, from int, graph *adjacency.Graph) *match.Match {
	m := &match.Match{Pattern: "spatial", Graph: graph.Name, I: from}
	if !strings.HasSuffix(graph.Name, "keypad") && strings.IndexByte(shifted, text[from]) >= 0 {
		m.ShiftedCount = 1
	}
	last := -1
	j := from + 1
	for ; j < len(text); j++ {
		direction, withShift := neighbor(graph.Graph[text[j-1:j]], text[j])
		if direction < 0 {
			break
		}
		if withShift {
			m.ShiftedCount++
		}
		if direction != last { // the first step counts as a turn
			m.Turns++
			last = direction
		}
	}
	m.J = j - 1
	m.Token = text[from:j]
	return m
}

// neighbor returns in which direction of a key another lies, or −1, and whether it needs the shift
// key.
func neighbor(keys []string, key byte) (direction int, withShift bool) {
	for d, k := range keys {
		if at := strings.IndexByte(k, key); at >= 0 {
			return d, at == 1
		}
	}
	return -1, false
}
