package policy

import (
	"encoding/json"
	"testing"
	"time"

	"pip-witness/rules"
)

// maxShippedExceptions bounds the documented defects of shipped rules.
const maxShippedExceptions = 5

// TestBuiltinExceptions holds each shipped exception to one distribution and one value,
// so that it waives as little as possible.
func TestBuiltinExceptions(t *testing.T) {
	var source struct {
		Exceptions []Exception `json:"exceptions"`
	}
	if err := json.Unmarshal(Builtin(), &source); err != nil {
		t.Fatal(err)
	}
	if n := len(source.Exceptions); n > maxShippedExceptions {
		t.Errorf("%d exceptions, at most %d are shipped", n, maxShippedExceptions)
	}
	c, err := LoadCatalogue(rules.FS, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range source.Exceptions {
		if e.Package == "" || e.Host == "" && e.Path == "" || e.Reason == "" || e.Expires.IsZero() {
			t.Errorf("exception %+v: want a package, a host or path, a reason and an end", e)
		}
		if e.Expires.After(time.Now().AddDate(2, 0, 0)) {
			t.Errorf("exception %+v outlives two years", e)
		}
		spelled := false
		for _, name := range c.Names() {
			module, _ := c.Module(name)
			m, _, err := parseModule(name, module)
			if err != nil {
				t.Fatal(err)
			}
			spelled = spelled || literalPrefixes(m).spells("CRITICAL", e.Rule) || literalPrefixes(m).spells("HIGH", e.Rule)
		}
		if !spelled {
			t.Errorf("exception %+v: no rule says that", e)
		}
	}
}
