package policy

import (
	"slices"
	"strings"
)

// maxNearest is how many names are suggested.
const maxNearest = 3

// Nearest are the names that a misspelt word may have meant, the likeliest first; none
// when nothing is near. Case and the characters - and _ do not count.
func Nearest(word string, of []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	folded := fold(word)
	for _, name := range of {
		d := distance(folded, fold(name))
		if parts := strings.Contains(fold(name), folded); parts && len(folded) > 3 {
			d = min(d, 2)
		}
		if d <= max(1, len(folded)/3) {
			near = append(near, candidate{name, d})
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		if a.distance != b.distance {
			return a.distance - b.distance
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, c := range near {
		if !slices.Contains(names, c.name) && len(names) < maxNearest {
			names = append(names, c.name)
		}
	}
	return names
}

func fold(word string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(word))
}

// distance is how many characters have to be put in, left out, changed or swapped
// with their neighbour to get from one word to the other (Damerau, restricted).
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return max(len(a), len(b))
	}
	var before, previous []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, previous, row = previous, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
