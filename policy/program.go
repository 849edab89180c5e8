package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown/cache"
)

// DefaultEvalTimeout is the time limit of one module's evaluation.
const DefaultEvalTimeout = 30 * time.Second

// maxModule is the largest Rego text that is compiled.
const maxModule = 4 << 20 // 4 MiB

// denied are builtins that reach outside, or that answer differently each time.
// time.now_ns stays: it gives the injected verification time.
func denied() []string {
	return []string{"http.send", "net.lookup_ip_addr", "opa.runtime", "print", "rand.intn", "trace", "uuid.rfc4122"}
}

// Capabilities are what a policy module may use: everything of the engine but
// the builtins of the specification's list, and no host for JSON schemas.
func Capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		return slices.Contains(denied(), b.Name)
	})
	c.AllowNet = []string{}
	return c
}

// Program is a module that was compiled, with its own prepared query.
type Program struct {
	// Name is the module's name in the policy.
	Name string
	// RegoVersion is the language it was read as: "v1", or "v0" when it is not v1.
	RegoVersion string
	// Reads says which parts of the input the module can look at.
	Reads    Reads
	query    rego.PreparedEvalQuery
	prefixes prefixes
	// spelt remembers answers about prefixes.
	mu    sync.Mutex
	spelt map[string]bool
}

// maxSpelt bounds the prefixes that are remembered: a package may make some up.
const maxSpelt = 10_000

// Answer is what a module answered.
type Answer struct {
	// Deny are the messages, sorted by text.
	Deny []Message
	// NotEvaluated are "RULE_ID: reason", sorted.
	NotEvaluated []string
}

// Message is one element of deny.
type Message struct {
	Text string
	// Path, Host, Package, Command and Value are set when the module answered with
	// objects that have these fields.
	Path, Host, Package, Command, Value string
}

func (m Message) fields() string {
	return strings.Join([]string{m.Text, m.Path, m.Host, m.Package, m.Command, m.Value}, "\x00")
}

// CompileModule compiles one module: as Rego v1, or as v0 where that does not
// parse. It is an error when the module declares no deny.
func CompileModule(ctx context.Context, name string, src []byte) (*Program, error) {
	m, version, err := parseModule(name, src)
	if err != nil {
		return nil, err
	}
	return compile(ctx, name, m, version, nil, nil)
}

// parseModule parses as v1, else as v0; when both fail the error is that of v1.
func parseModule(name string, src []byte) (*ast.Module, ast.RegoVersion, error) {
	if len(src) > maxModule {
		return nil, 0, fmt.Errorf("parse module %q: %d bytes, at most %d are read", name, len(src), maxModule)
	}
	caps := Capabilities()
	file := name + ".rego"
	m, err := ast.ParseModuleWithOpts(file, string(src), ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: caps})
	if err == nil && m != nil {
		return m, ast.RegoV1, nil
	}
	old, oldErr := ast.ParseModuleWithOpts(file, string(src), ast.ParserOptions{RegoVersion: ast.RegoV0, Capabilities: caps})
	if oldErr == nil && old != nil {
		return old, ast.RegoV0, nil
	}
	if err == nil {
		err = errors.New("it holds no package")
	}
	return nil, 0, fmt.Errorf("parse module %q: %w", name, err)
}

// compile prepares the module's query; others and data are what it may refer to
// before it is linked (tests).
func compile(ctx context.Context, name string, m *ast.Module, version ast.RegoVersion, others map[string]*ast.Module, data func(*rego.Rego)) (*Program, error) {
	if !declares(m, "deny") {
		return nil, fmt.Errorf("compile module %q: it declares no deny, so it would say nothing of any evidence", name)
	}
	modules := map[string]*ast.Module{name + ".rego": m}
	for file, other := range others {
		modules[file] = other
	}
	// The compiler takes calls of print out of a module, even of one that may
	// not use it: such a module would run, but not as written.
	if !declares(m, "print") && callsPrint(m) {
		return nil, fmt.Errorf("compile module %q: print is not available to policy modules", name)
	}
	c := newCompiler(version)
	if c.Compile(modules); c.Failed() {
		return nil, fmt.Errorf("compile module %q: %w", name, explain(c.Errors))
	}
	// A comprehension makes "undefined" an empty array instead of no result.
	pkg := m.Package.Path.String()
	query := fmt.Sprintf(`answer := {"deny": [d | d := %s.deny], "not_evaluated": []}`, pkg)
	if declares(m, "not_evaluated") {
		query = fmt.Sprintf(`answer := {"deny": [d | d := %s.deny], "not_evaluated": [n | n := %s.not_evaluated]}`, pkg, pkg)
	}
	options := []func(*rego.Rego){
		rego.Query(query), rego.Compiler(c), rego.SetRegoVersion(ast.RegoV1),
		rego.Capabilities(Capabilities()), rego.StrictBuiltinErrors(true),
		rego.InterQueryBuiltinValueCache(Patterns(ctx)),
	}
	if data != nil {
		options = append(options, data)
	}
	prepared, err := rego.New(options...).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("compile module %q: %w", name, err)
	}
	p := &Program{Name: name, RegoVersion: "v1", query: prepared, prefixes: literalPrefixes(m), Reads: readsOf(c), spelt: map[string]bool{}}
	if version == ast.RegoV0 {
		p.RegoVersion = "v0"
	}
	return p, nil
}

// newCompiler returns a compiler for policy modules. It builds no comprehension
// indices: with them the engine (v1.22.2) may evaluate a comprehension before
// the variables around it are bound, and a correct module ends in an internal
// error ("called with operand 1 that requires evaluation").
func newCompiler(version ast.RegoVersion) *ast.Compiler {
	return ast.NewCompiler().WithCapabilities(Capabilities()).WithDefaultRegoVersion(version).
		WithSkipStages(ast.StageBuildComprehensionIndices)
}

// maxPatterns bounds the patterns that are kept compiled: a module may make some of
// what a package chose.
const maxPatterns = 4096

// Patterns returns memory for compiled regular expressions and globs. The engine's own
// holds 100 of each, fewer than the shipped indicators have, and a loop over more of them
// compiles each one again for every path.
func Patterns(ctx context.Context) cache.InterQueryValueCache {
	most := maxPatterns
	return cache.NewInterQueryValueCache(ctx, &cache.Config{
		InterQueryBuiltinValueCache: cache.InterQueryBuiltinValueCacheConfig{MaxNumEntries: &most},
	})
}

// explain says of a removed builtin that it was removed on purpose.
func explain(errs ast.Errors) error {
	for _, name := range denied() {
		for _, e := range errs {
			if strings.Contains(e.Message, "undefined function "+name) {
				return fmt.Errorf("%s is not available to policy modules: %w", name, errs)
			}
		}
	}
	return errs
}

func callsPrint(m *ast.Module) bool {
	found := false
	ast.WalkRefs(m, func(ref ast.Ref) bool {
		found = found || len(ref) == 1 && ref[0].Value.Compare(ast.Var("print")) == 0
		return found
	})
	return found
}

func declares(m *ast.Module, name ast.Var) bool {
	return slices.ContainsFunc(m.Rules, func(r *ast.Rule) bool { return ruleName(r) == name })
}

// ruleName is the first element of a rule's reference.
func ruleName(r *ast.Rule) ast.Var {
	if ref := r.Head.Ref(); len(ref) > 0 {
		if v, ok := ref[0].Value.(ast.Var); ok {
			return v
		}
	}
	return r.Head.Name
}

// Eval asks the module about one input. The time limit cancels it; now is the
// only time it can see.
func (p *Program) Eval(ctx context.Context, input ast.Value, now time.Time, limit time.Duration) (Answer, error) {
	if limit <= 0 {
		limit = DefaultEvalTimeout
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	results, err := p.query.Eval(limited, rego.EvalParsedInput(input), rego.EvalTime(now))
	switch {
	case ctx.Err() != nil:
		return Answer{}, fmt.Errorf("evaluate module %q: %w", p.Name, ctx.Err())
	case limited.Err() != nil:
		return Answer{}, fmt.Errorf("evaluate module %q: stopped at the time limit of %s", p.Name, limit)
	case err != nil:
		return Answer{}, fmt.Errorf("evaluate module %q: %w", p.Name, err)
	case len(results) != 1:
		return Answer{}, fmt.Errorf("evaluate module %q: %d results, want 1", p.Name, len(results))
	}
	a, err := readAnswer(results[0].Bindings["answer"])
	if err != nil {
		return Answer{}, fmt.Errorf("evaluate module %q: %w", p.Name, err)
	}
	return a, nil
}

func readAnswer(v any) (Answer, error) {
	var a Answer
	m, ok := v.(map[string]any)
	if !ok {
		return a, errors.New("no answer")
	}
	deny, _ := m["deny"].([]any)
	if len(deny) != 1 {
		return a, errors.New("deny is undefined")
	}
	var err error
	if a.Deny, err = readDeny(deny[0]); err != nil {
		return a, err
	}
	if rest, _ := m["not_evaluated"].([]any); len(rest) == 1 {
		messages, err := readDeny(rest[0])
		if err != nil {
			return a, fmt.Errorf("not_evaluated: %w", err)
		}
		for _, m := range messages {
			a.NotEvaluated = append(a.NotEvaluated, m.Text)
		}
	}
	return a, nil
}

// readDeny accepts the shapes of the specification: a set or array of strings
// or of objects with a string msg, or an object whose keys are the messages.
// Sets arrive as arrays.
func readDeny(v any) ([]Message, error) {
	var out []Message
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			m, err := readMessage(e)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	case map[string]any:
		for text := range v {
			out = append(out, Message{Text: text})
		}
	default:
		return nil, fmt.Errorf("the answer is %s, want a set of strings", kindOf(v))
	}
	slices.SortFunc(out, func(a, b Message) int {
		if c := strings.Compare(a.Text, b.Text); c != 0 {
			return c
		}
		return strings.Compare(a.fields(), b.fields())
	})
	return out, nil
}

func readMessage(v any) (Message, error) {
	switch v := v.(type) {
	case string:
		return Message{Text: v}, nil
	case map[string]any:
		var m Message
		text, ok := v["msg"].(string)
		if !ok {
			return m, errors.New("the answer holds an object without a string msg")
		}
		m.Text = text
		m.Path, _ = v["path"].(string)
		m.Host, _ = v["host"].(string)
		m.Package, _ = v["package"].(string)
		m.Command, _ = v["command"].(string)
		m.Value, _ = v["value"].(string)
		return m, nil
	}
	return Message{}, fmt.Errorf("the answer holds %s, want strings", kindOf(v))
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return "a number"
}
