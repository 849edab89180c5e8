package attestation

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MaxSummaries bounds the verification summaries of one run: one for each
// distribution file. An installation has some hundreds.
const MaxSummaries = 4096

// Head is what a statement says before its predicate.
type Head struct {
	Subject       []Subject
	PredicateType string
}

// ReadHead reads the beginning of a statement and stops at its predicate, which
// may have tens of megabytes. Nothing after that is looked at, and a statement
// that names its predicate first has an empty head: who needs the whole truth
// asks [ParseStatement].
func ReadHead(payload []byte) (Head, error) {
	var h Head
	d := json.NewDecoder(bytes.NewReader(payload))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return h, fmt.Errorf("read the head of a statement: not an object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return h, fmt.Errorf("read the head of a statement: %w", err)
		}
		var into any = new(json.RawMessage)
		switch key {
		case "predicate":
			return h, nil
		case "subject":
			into = &h.Subject
		case "predicateType":
			into = &h.PredicateType
		}
		if err := d.Decode(into); err != nil {
			return h, fmt.Errorf("read the head of a statement: %q: %w", key, err)
		}
	}
	return h, nil
}
