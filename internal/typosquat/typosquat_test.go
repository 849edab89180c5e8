package typosquat

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pip-witness/internal/pypi"
)

func TestClose(t *testing.T) {
	names := New(Shipped())
	for name, want := range map[string]string{
		"requests":           "[]",
		"reqests":            "[{requests keystroke}]",
		"reqeusts":           "[{requests keystroke}]",
		"requestss":          "[{requests keystroke}]",
		"requezts":           "[{requests keystroke}]",
		"equests":            "[{requests keystroke}]",
		"reuqetss":           "[]", // two swaps
		"pythondateutil":     "[{python-dateutil separators}]",
		"typing-ext-ensions": "[{typing-extensions separators}]",
		"c0l0rama":           "[{colorama look-alike}]",
		"urll1b3":            "[{urllib3 look-alike}]",
		"nurnpy":             "[{numpy look-alike}]",
		"nunpy":              "[{numpy keystroke}]",
		"gurnicorn":          "[{gunicorn keystroke}]",
		"panclas":            "[]",
		"fasttornado":        "[]",
		"tornado-sdk":        "[{tornado affix}]",
		"python-requests":    "[{requests affix}]",
		"pytorch":            "[{torch affix}]",
		"tensorflow2":        "[{tensorflow keystroke}]",
		"rnypy":              "[{mypy look-alike}]",
		"sax":                "[]", // too short
		"sixx":               "[]",
		"":                   "[]",
		"example-sdk":        "[]",
	} {
		if got := fmt.Sprint(names.Close(name)); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// TestOneKeystroke compares with the distance by its definition.
func TestOneKeystroke(t *testing.T) {
	words := []string{"", "a", "b", "ab", "ba", "abc", "acb", "bac", "abcd", "abdc", "badc", "aab", "aba", "abab", "baba", "xabc", "abcx", "axbc"}
	for _, a := range words {
		for _, b := range words {
			if got, want := oneKeystroke(a, b), distance(a, b) == 1; got != want {
				t.Errorf("%q and %q: %v, want %v", a, b, got, want)
			}
		}
	}
}

// distance is that of Damerau and Levenshtein, with swaps of neighbours.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
			default:
				cost := 1
				if a[i-1] == b[j-1] {
					cost = 0
				}
				d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					d[i][j] = min(d[i][j], d[i-2][j-2]+1)
				}
			}
		}
	}
	return d[len(a)][len(b)]
}

func TestShipped(t *testing.T) {
	names := Shipped()
	if len(names) < 300 || !slices.IsSorted(names) {
		t.Errorf("%d names, sorted %v", len(names), slices.IsSorted(names))
	}
	for i, name := range names {
		if pypi.Normalize(name) != name || i > 0 && names[i-1] == name {
			t.Errorf("%q is not normalised, or twice there", name)
		}
	}
}

func TestParse(t *testing.T) {
	names, err := Parse([]byte(`{"last_update":"x","rows":[{"download_count":3,"project":"Zope.Interface"},{"project":"six"}]}`))
	if err != nil || fmt.Sprint(names) != "[zope-interface six]" {
		t.Errorf("%q, %v", names, err)
	}
	for name, test := range map[string]struct{ raw, want string }{
		"empty":     {"", "unexpected end"},
		"no rows":   {"{}", "no names"},
		"bad name":  {`{"rows":[{"project":"a b"}]}`, "row 1"},
		"truncated": {`{"rows":[{"project":"a"}`, "unexpected end"},
		"many":      {`{"rows":[` + strings.Repeat(`{},`, maxNames) + `{}]}`, "at most"},
		"large":     {strings.Repeat(" ", MaxSize+1), "larger than"},
	} {
		if _, err := Parse([]byte(test.raw)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestRealList reads the shared list and asks it about names.
func TestRealList(t *testing.T) {
	raw, err := os.ReadFile("../../../shared/data/top-packages.min.json")
	if err != nil {
		t.Skipf("needs the shared data beside the project: %v", err)
	}
	list, err := Parse(raw)
	if err != nil || len(list) != 15_000 {
		t.Fatalf("%d names, %v", len(list), err)
	}
	names := New(list)
	if got := names.Close("reqests"); !slices.Contains(got, Match{"requests", Keystroke}) {
		t.Errorf("%v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"rows":[{"project":"six"}]}`))
	f.Add([]byte(`{"rows":[{"project":"a..b"},{"project":1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		names, err := Parse(raw)
		if err != nil {
			return
		}
		n := New(names)
		for _, name := range names {
			if pypi.Normalize(name) != name || len(n.Close(name)) != 0 {
				t.Errorf("%q", name)
			}
		}
	})
}
