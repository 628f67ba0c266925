package access

// nearest is the known name that was probably meant, or "".
func nearest(name string, known []string) string {
	if len(name) > 64 {
		return ""
	}
	best, least := "", len(name)/3+2
	for _, k := range known {
		if d := edits(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// edits counts the letters to insert, delete or replace until one word is the other (Levenshtein).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			here := diagonal
			if a[i-1] != b[j-1] {
				here = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], here
		}
	}
	return row[len(b)]
}
