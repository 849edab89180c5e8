package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The indicators of the user's own, and the module that looks for them.
const (
	ownIndicators = "own"
	ownModule     = "user_ioc"
)

// maxIndicatorErrors is how many mistakes of a file are told at once.
const maxIndicatorErrors = 10

// keyedMaps are the maps of the shipped indicators whose keys are names of what is
// listed (of programs), so that new keys mean something. Any other key that the shipped
// file does not have is a mistake: no rule would read it.
func keyedMaps() []string {
	return []string{"credential_programs.dumps", "network.upload_commands.arguments"}
}

// ParseIndicators reads a YAML file of changes to the shipped indicator data: its
// top-level keys are names of indicator files, lists are appended to the shipped
// ones, maps are merged, anything else replaces. Each value has to have the shape that the
// shipped file has there, so that a misspelt key is an error and never nothing: known
// keys, their types, and the source and date of every entry. The error has a line for
// each mistake.
func ParseIndicators(data []byte, shipped fs.FS) (map[string]any, error) {
	base := map[string]any{}
	if err := readIndicators(shipped, base); err != nil {
		return nil, err
	}
	root, err := singleDocument(data)
	if err != nil || root == nil {
		return nil, err
	}
	c := &indicatorCheck{}
	want := shape{kind: kindMap, keys: map[string]shape{}}
	for name, v := range base {
		want.keys[name] = shapeOf(v, name)
	}
	value := c.value(root, want, "")
	if len(c.mistakes) > 0 {
		return nil, fmt.Errorf("read indicators: %w", errors.Join(c.mistakes...))
	}
	changes, _ := value.(map[string]any)
	return changes, nil
}

// readIndicators reads indicators/NAME.yaml.
func readIndicators(files fs.FS, into map[string]any) error {
	return each(files, "indicators/*.yaml", func(name string, data []byte) error {
		var v any
		if err := yaml.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("read indicators %q: %w", name, err)
		}
		into[name] = v
		return nil
	})
}

// singleDocument is the root of a file with one document; nil for an empty one.
func singleDocument(data []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var document, more yaml.Node
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errors.New("read indicators: it is empty")
	} else if err != nil {
		return nil, fmt.Errorf("read indicators: %w", err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("read indicators: more than one document (---)")
	}
	return document.Content[0], nil
}

// kind is what a value of the indicators is.
type kind string

const (
	kindText   kind = "a text"
	kindNumber kind = "a number"
	kindTruth  kind = "true or false"
	kindList   kind = "a list"
	kindMap    kind = "a map"
	kindAny    kind = "anything"
)

// shape is what the shipped data allows at one place.
type shape struct {
	kind kind
	// item is of every element of a list, or of every value of a map that is keyed by
	// name; nil where nothing is shipped that would tell: then elements are texts.
	item *shape
	// keys are those of a map, required those that every shipped one of its kind has.
	keys     map[string]shape
	required []string
}

func shapeOf(v any, path string) shape {
	switch v := v.(type) {
	case string:
		return shape{kind: kindText}
	case bool:
		return shape{kind: kindTruth}
	case int, int64, uint64, float64:
		return shape{kind: kindNumber}
	case []any:
		return shape{kind: kindList, item: common(v, path)}
	case map[string]any:
		if slices.Contains(keyedMaps(), path) {
			values := make([]any, 0, len(v))
			for _, key := range slices.Sorted(maps.Keys(v)) {
				values = append(values, v[key])
			}
			return shape{kind: kindMap, item: common(values, path)}
		}
		s := shape{kind: kindMap, keys: map[string]shape{}, required: slices.Sorted(maps.Keys(v))}
		for key, value := range v {
			s.keys[key] = shapeOf(value, join(path, key))
		}
		return s
	}
	return shape{kind: kindAny}
}

// common is the shape that all values have.
func common(values []any, path string) *shape {
	var all *shape
	for _, v := range values {
		s := shapeOf(v, path)
		if all != nil {
			s = both(*all, s)
		}
		all = &s
	}
	return all
}

// both allows what either does and requires what both do.
func both(a, b shape) shape {
	if a.kind != b.kind {
		return shape{kind: kindAny}
	}
	out := shape{kind: a.kind, item: a.item}
	switch {
	case a.item == nil:
		out.item = b.item
	case b.item != nil:
		merged := both(*a.item, *b.item)
		out.item = &merged
	}
	if a.keys == nil {
		return out
	}
	out.keys = maps.Clone(a.keys)
	for key, s := range b.keys {
		if old, ok := out.keys[key]; ok {
			s = both(old, s)
		}
		out.keys[key] = s
	}
	for _, key := range a.required {
		if slices.Contains(b.required, key) {
			out.required = append(out.required, key)
		}
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// indicatorCheck compares a file with the shapes and collects what is wrong.
type indicatorCheck struct{ mistakes []error }

func (c *indicatorCheck) fail(n *yaml.Node, where, format string, args ...any) {
	if len(c.mistakes) < maxIndicatorErrors {
		if where == "" {
			where = "the file"
		}
		c.mistakes = append(c.mistakes, fmt.Errorf("line %d: %s: %w", n.Line, where, fmt.Errorf(format, args...)))
	}
}

// value is n as data, if it has the shape.
func (c *indicatorCheck) value(n *yaml.Node, want shape, where string) any {
	switch n.Kind {
	case yaml.AliasNode:
		c.fail(n, where, "write it out: anchors and aliases are not read")
	case yaml.SequenceNode:
		if want.kind == kindList || want.kind == kindAny {
			return c.list(n, want, where)
		}
		c.fail(n, where, "want %s, have a list", want.kind)
	case yaml.MappingNode:
		if want.kind == kindMap || want.kind == kindAny {
			return c.mapping(n, want, where)
		}
		c.fail(n, where, "want %s, have a map", want.kind)
	default:
		return c.scalar(n, want, where)
	}
	return nil
}

func (c *indicatorCheck) list(n *yaml.Node, want shape, where string) any {
	item := shape{kind: kindText}
	switch {
	case where == join(ownIndicators, "indicators"):
		item = ownShape()
	case want.item != nil:
		item = *want.item
	}
	out := []any{}
	for i, element := range n.Content {
		place := fmt.Sprintf("%s[%d]", where, i)
		v := c.value(element, item, place)
		if entry, ok := v.(map[string]any); ok && item.keys["kind"].kind == kindText && strings.HasPrefix(where, ownIndicators+".") {
			if err := checkOwn(entry); err != nil {
				c.fail(element, place, "%w", err)
			}
		}
		out = append(out, v)
	}
	return out
}

func (c *indicatorCheck) mapping(n *yaml.Node, want shape, where string) any {
	out := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, place := n.Content[i], join(where, n.Content[i].Value)
		if _, twice := out[key.Value]; twice {
			c.fail(key, place, "it is there twice")
			continue
		}
		s, ok := want.keys[key.Value]
		switch {
		case want.item != nil:
			s = *want.item
		case want.kind == kindAny:
			s = shape{kind: kindAny}
		case !ok:
			c.fail(key, place, "unknown key; there are %s", quoteList(slices.Sorted(maps.Keys(want.keys))))
			continue
		}
		out[key.Value] = c.value(n.Content[i+1], s, place)
		c.known(n.Content[i+1], key.Value, out[key.Value], place)
	}
	for _, key := range want.required {
		// Sections are merged with the shipped ones: of those only who says it is asked.
		element := strings.HasSuffix(where, "]")
		if _, ok := out[key]; !ok && (element || len(out) > 0 && (key == "source" || key == "date")) {
			c.fail(n, where, "it has no %s", key)
		}
	}
	return out
}

// known checks values whose key says what they are.
func (c *indicatorCheck) known(n *yaml.Node, key string, v any, where string) {
	text, ok := v.(string)
	if !ok {
		return
	}
	switch key {
	case "date":
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			c.fail(n, where, "%q is no date such as 2026-12-31", text)
		}
	case "source":
		if strings.TrimSpace(text) == "" {
			c.fail(n, where, "it is empty: say where the entry was described")
		}
	case "severity", "own_severity":
		if _, err := ParseSeverity(text); err != nil {
			c.fail(n, where, "%w", err)
		}
	}
}

func (c *indicatorCheck) scalar(n *yaml.Node, want shape, where string) any {
	tag := n.ShortTag()
	have := map[string]kind{"!!str": kindText, "!!timestamp": kindText, "!!int": kindNumber, "!!float": kindNumber, "!!bool": kindTruth}[tag]
	switch {
	case have == "":
		c.fail(n, where, "want %s, have nothing", want.kind)
		return nil
	case want.kind != kindAny && want.kind != have && want.kind == kindText:
		c.fail(n, where, "want a text, have %s: put %s in quotes", have, n.Value)
		return nil
	case want.kind != kindAny && want.kind != have:
		c.fail(n, where, "want %s, have %s", want.kind, have)
		return nil
	case have == kindText:
		return n.Value // a date without quotes stays as it is written
	}
	var v any
	if err := n.Decode(&v); err != nil {
		c.fail(n, where, "%w", err)
	}
	return v
}

// ownShape is one indicator of the user's own; nothing is shipped that would tell.
func ownShape() shape {
	text := shape{kind: kindText}
	return shape{
		kind: kindMap,
		keys: map[string]shape{
			"kind": text, "value": text, "severity": text, "reason": text, "source": text, "date": text,
		},
		required: []string{"kind", "value", "source", "date"},
	}
}

// checkOwn refuses an indicator of the user's own that could never match.
func checkOwn(entry map[string]any) error {
	what, _ := entry["kind"].(string)
	value, _ := entry["value"].(string)
	if what == "" || value == "" {
		return nil // said already
	}
	switch what {
	case "host":
		if !regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`).MatchString(value) {
			return fmt.Errorf("%q is no host name: give neither a scheme nor a port nor an asterisk; what lies below it is meant too", value)
		}
	case "address":
		_, addressErr := netip.ParseAddr(value)
		if _, err := netip.ParsePrefix(value); addressErr != nil && err != nil {
			return fmt.Errorf("%q is neither an IP address nor a range such as 192.0.2.0/24", value)
		}
	case "path":
		if strings.Trim(value, "/*") == "" || strings.HasSuffix(value, "/") {
			return fmt.Errorf("%q is no path pattern: name a file, or everything below a directory with /**", value)
		}
	case "command":
		if _, err := regexp.Compile(value); err != nil {
			return fmt.Errorf("%q is no RE2 expression: %w", value, err)
		}
	case "sha256":
		if !regexp.MustCompile(`^[0-9A-Fa-f]{64}$`).MatchString(value) {
			return fmt.Errorf("%q is no SHA-256 in hex", value)
		}
	case "package":
		name, version, exact := strings.Cut(value, "==")
		if !regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`).MatchString(strings.TrimSpace(name)) {
			return fmt.Errorf("%q is no package: want NAME or NAME==VERSION", value)
		}
		if exact && !regexp.MustCompile(`^v?[0-9][A-Za-z0-9.!+_-]*$`).MatchString(strings.TrimSpace(version)) {
			return fmt.Errorf("%q is no package: %q is no version", value, strings.TrimSpace(version))
		}
	default:
		return fmt.Errorf("unknown kind %q: want host, address, path, command, sha256 or package", what)
	}
	return nil
}
