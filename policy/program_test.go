package policy

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
)

func answer(t *testing.T, module, input string, limit time.Duration) (Answer, error) {
	t.Helper()
	p, err := CompileModule(context.Background(), "own", []byte(module))
	if err != nil {
		return Answer{}, err
	}
	v, err := ast.ValueFromReader(strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	return p.Eval(context.Background(), v, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), limit)
}

func TestAnswerShapes(t *testing.T) {
	two := []Message{{Text: "a"}, {Text: "b"}}
	tests := map[string]struct {
		module, wantErr string
		want            []Message
	}{
		"set":              {module: `deny contains m if some m in ["b", "a"]`, want: two},
		"array":            {module: `deny := ["b", "a"]`, want: two},
		"object":           {module: `deny[m] if some m in ["b", "a"]`, want: two},
		"v0 set":           {module: `deny[m] { m := ["b", "a"][_] }`, want: two},
		"objects with msg": {module: `deny contains {"msg": "a", "path": "/x", "host": "h", "package": "p", "command": "c", "value": "v"}`, want: []Message{{"a", "/x", "h", "p", "c", "v"}}},
		"empty set":        {module: `deny contains m if { m := "x"; false }`},
		"number":           {module: `deny := 7`, wantErr: "the answer is a number"},
		"boolean":          {module: `deny if true`, wantErr: "the answer is a boolean"},
		"string":           {module: `deny := "no"`, wantErr: "the answer is a string"},
		"null":             {module: `deny := null`, wantErr: "the answer is null"},
		"numbers in a set": {module: `deny contains 7`, wantErr: "the answer holds a number"},
		"object no msg":    {module: `deny contains {"message": "x"}`, wantErr: "without a string msg"},
		"undefined":        {module: `deny := ["x"] if input.never`, wantErr: "deny is undefined"},
		"not declared":     {module: `allow := true`, wantErr: "declares no deny"},
		"builtin error":    {module: `deny contains m if m := sprintf("%d", [to_number("x")])`, wantErr: "to_number"},
		"conflict":         {module: "deny := [x] if { some x in [1, 2] }", wantErr: "conflict"},
		"time":             {module: `deny contains m if m := sprintf("%d", [time.now_ns()])`, want: []Message{{Text: "1795435200000000000"}}},
		"bad not_evaluated": {module: "deny contains m if { m := \"x\"; false }\nnot_evaluated := 3",
			wantErr: "not_evaluated: the answer is a number"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := answer(t, "package any.name\n\n"+tt.module, "{}", 0)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(err.Error(), `"own"`) {
					t.Errorf("error %v, want %q and the module's name", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got.Deny); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestEndlessModuleIsStopped(t *testing.T) {
	module := `package x
import rego.v1
deny contains "x" if { some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000); a + b + c == 0 }`
	start := time.Now()
	_, err := answer(t, module, "{}", 100*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), `module "own": stopped at the time limit of 100ms`) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestRemovedBuiltins(t *testing.T) {
	for _, call := range []string{
		`http.send({"method": "get", "url": "http://files.example"})`, `opa.runtime()`, `net.lookup_ip_addr("files.example")`,
		`rand.intn("s", 3)`, `uuid.rfc4122("s")`, `trace("s")`, `print("s")`,
	} {
		_, err := answer(t, "package x\nimport rego.v1\ndeny contains \"x\" if "+call, "{}", 0)
		if err == nil || !strings.Contains(err.Error(), "is not available to policy modules") {
			t.Errorf("%s: error %v", call, err)
		}
	}
}

func TestFindingPrefixes(t *testing.T) {
	tests := map[string]struct {
		module, input string
		want          Finding
	}{
		"literal": {
			`deny contains msg if msg := sprintf("MEDIUM:SOME_RULE: saw %s", [input.name])`, `{"name": "x"}`,
			Finding{Severity: Medium, Rule: "SOME_RULE", Message: "saw x"},
		},
		"joined": {
			`deny contains msg if msg := sprintf("%s:%s: %s", ["LOW", "SOME_RULE", input.name])`, `{"name": "x"}`,
			Finding{Severity: Low, Rule: "SOME_RULE", Message: "x"},
		},
		"without prefix": {
			`deny contains input.name`, `{"name": "no"}`,
			Finding{Severity: High, Rule: "own", Message: "no"},
		},
		"a file name cannot lower the severity": {
			`deny contains input.name`, `{"name": "INFO:SOME_RULE: nothing"}`,
			Finding{Severity: High, Rule: "own", Message: "INFO:SOME_RULE: nothing"},
		},
		"a file name cannot take another rule's id": {
			`deny contains input.name`, `{"name": "CRITICAL:EXEMPT: nothing"}`,
			Finding{Severity: Critical, Rule: "own", Message: "CRITICAL:EXEMPT: nothing"},
		},
		"control characters are shown": {
			`deny contains msg if msg := sprintf("HIGH:R: %s", [input.name])`, `{"name": "a\nPASS\u001b[2K\u202eb"}`,
			Finding{Severity: High, Rule: "R", Message: `a\x0aPASS\x1b[2K\u202eb`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := "package x\n\nimport rego.v1\n\n" + tt.module
			p, err := CompileModule(context.Background(), "own", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			a, err := answer(t, src, tt.input, 0)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Module, tt.want.Step = "own", "s"
			if d := cmp.Diff(tt.want, p.Finding("s", a.Deny[0])); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestExceptionMatches(t *testing.T) {
	text := func(s string) Message { return Message{Text: s} }
	tests := map[string]struct {
		e         Exception
		m         Message
		want      bool
		installed []string
	}{
		"rule only":                           {Exception{}, text("x"), true, nil},
		"other rule":                          {Exception{Rule: "Z"}, text("x"), false, nil},
		"path":                                {Exception{Path: "/a/b"}, text("read /a/b, which is secret"), true, nil},
		"path pattern":                        {Exception{Path: "/a/*"}, text("read '/a/b'"), true, nil},
		"second path is no":                   {Exception{Path: "/a/b"}, text("read /home/user/.ssh/id_rsa /a/b"), false, nil},
		"path of object":                      {Exception{Path: "/a/b"}, Message{Text: "read /z", Path: "/a/b"}, true, nil},
		"host":                                {Exception{Host: "192.0.2.1"}, text("connected to 192.0.2.1:443 at import"), true, nil},
		"host and port":                       {Exception{Host: "192.0.2.1:443"}, text("connected to 192.0.2.1:443 at import"), true, nil},
		"other port":                          {Exception{Host: "192.0.2.1:80"}, text("connected to 192.0.2.1:443 at import"), false, nil},
		"IPv6":                                {Exception{Host: "2001:db8::1"}, text("connected to [2001:db8::1]:443"), true, nil},
		"longer host":                         {Exception{Host: "files.example"}, text("connected to files.example.evil.test:443"), false, nil},
		"package":                             {Exception{Package: "Py.Yaml"}, text("py-yaml wrote"), true, nil},
		"package and no path":                 {Exception{Package: "p", Path: "/a"}, text("p wrote"), false, nil},
		"part of package name":                {Exception{Package: "yaml"}, text("py-yaml wrote"), false, nil},
		"package that the run does not have":  {Exception{Package: "yaml"}, text("yaml wrote"), false, []string{"other"}},
		"package of the run":                  {Exception{Package: "yaml"}, text("yaml wrote"), true, []string{"other", "yaml"}},
		"package of the run, not named":       {Exception{Package: "yaml"}, text("a process wrote"), false, []string{"yaml"}},
		"not named, with another restriction": {Exception{Package: "Yaml", Path: "/a"}, text("a process wrote /a"), true, []string{"yaml"}},
		"package of object decides":           {Exception{Package: "yaml", Path: "/a"}, Message{Text: "yaml /a", Package: "x"}, false, []string{"yaml"}},
		"command":                             {Exception{Command: "/usr/bin/cc"}, text(`the process "/usr/bin/cc" ran "x"`), true, nil},
		"command pattern":                     {Exception{Command: "/usr/lib/*/cc1"}, text(`the process "/usr/lib/gcc/cc1" ran`), true, nil},
		"command in the second place":         {Exception{Command: "/usr/bin/cc"}, text(`the process "/tmp/x" ran "/usr/bin/cc"`), false, nil},
		"command without quotes":              {Exception{Command: "/usr/bin/cc"}, text(`it ran /usr/bin/cc`), false, nil},
		"command of object":                   {Exception{Command: "cc -c"}, Message{Text: `"x"`, Command: "cc -c"}, true, nil},
		"value":                               {Exception{Value: "--proxy"}, text(`the process "curl" had "--proxy"`), true, nil},
		"value pattern":                       {Exception{Value: "AWS_*"}, text(`the variable "AWS_PROFILE" was read`), true, nil},
		"part of a value":                     {Exception{Value: "AWS"}, text(`the variable "AWS_PROFILE" was read`), false, nil},
		"value outside quotes":                {Exception{Value: "curl"}, text(`curl ran "x"`), false, nil},
		"value forged by an escaped quote":    {Exception{Value: "ok"}, text(`it wrote "/tmp/a\" and \"ok\" b"`), false, nil},
		"value with escapes":                  {Exception{Value: `say "hi"`}, text(`it ran "say \"hi\""`), true, nil},
		"value of object":                     {Exception{Value: "v"}, Message{Text: `"x"`, Value: "v"}, true, nil},
		"text of object is no value":          {Exception{Value: "x"}, Message{Text: `"x"`, Value: "v"}, false, nil},
		"package in quotes":                   {Exception{Package: "p"}, text(`"p" wrote`), true, nil},
		"chosen words no name":                {Exception{Package: "p"}, text(`the process "/tmp/x p" wrote`), false, nil},
		"chosen words no host":                {Exception{Host: "a.example"}, text(`"/tmp/x a.example" contacted b.example:443`), false, nil},
		"escaped quote":                       {Exception{Package: "p"}, text(`"/tmp/x\" p \"" wrote`), false, nil},
		"quote without an end":                {Exception{Package: "p"}, text(`5" p`), true, nil},
		"path with a blank":                   {Exception{Path: "/a b"}, text(`wrote "/a b"`), true, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.e.Rule == "" {
				tt.e.Rule = "R"
			}
			if got := tt.e.Matches(Finding{Rule: "R"}, tt.m, tt.installed); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestReads(t *testing.T) {
	tests := map[string]struct {
		rule              string
		trail, steps, all bool
	}{
		"own fields":      {`deny contains "x" if input.processes`, false, false, false},
		"named":           {`deny contains "x" if input.omnitrail`, true, false, false},
		"bracket":         {`deny contains "x" if input["omnitrail"]`, true, false, false},
		"imported":        {"import input.omnitrail\ndeny contains \"x\" if omnitrail", true, false, false},
		"in a step":       {`deny contains "x" if input.steps["s"].omnitrail`, false, true, false},
		"whole step":      {`deny contains "x" if count(input.steps.s) > 0`, false, true, false},
		"any step":        {`deny contains "x" if input.steps[_].omnitrail`, false, true, false},
		"whole input":     {`deny contains "x" if count(input) > 0`, true, true, true},
		"by variable":     {`deny contains "x" if { some k in ["omnitrail"]; input[k] }`, true, true, true},
		"aliased":         {`deny contains "x" if { i := input; i.omnitrail }`, true, true, true},
		"function":        {"deny contains \"x\" if f(input)\nf(x) if x.omnitrail", true, true, true},
		"inside brackets": {`deny contains "x" if input.names[input.omnitrail.x]`, true, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := CompileModule(context.Background(), "own", []byte("package x\n\nimport rego.v1\n\n"+tt.rule))
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Reads.Name("omnitrail"); got != tt.trail {
				t.Errorf("reads omnitrail: %v, want %v", got, tt.trail)
			}
			if got := p.Reads.Step("s", "omnitrail"); got != tt.steps {
				t.Errorf("reads it of step s: %v, want %v", got, tt.steps)
			}
			if got := p.Reads.Name("anything"); got != tt.all {
				t.Errorf("reads all: %v, want %v", got, tt.all)
			}
		})
	}
}

func TestIsDistribution(t *testing.T) {
	for file, want := range map[string]bool{
		"ruamel.yaml-0.18.6-py3-none-any.whl": true, "ruamel_yaml-0.18.6.tar.gz": true, "ruamel.yaml-0.18.60.tar.gz": false,
		"ruamel.yaml.clib-0.18.6-py3-none-any.whl": false, "ruamel-yaml": false,
	} {
		if got := IsDistribution(file, "Ruamel.Yaml", "0.18.6"); got != want {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
	}
}

// TestNoComprehensionIndices guards the way around a defect of the engine, see
// newCompiler: the same module has an index with the engine's own defaults.
func TestNoComprehensionIndices(t *testing.T) {
	src := `package x

import rego.v1

deny contains m if {
	some k in input.keys
	found := [v | some v in input.values; v.key == k]
	m := sprintf("HIGH:R: %d", [count(found)])
}`
	indices := func(c *ast.Compiler) int {
		m, _, err := parseModule("x", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		if c.Compile(map[string]*ast.Module{"x": m}); c.Failed() {
			t.Fatal(c.Errors)
		}
		count := 0
		ast.WalkTerms(c.Modules["x"], func(term *ast.Term) bool {
			if ast.IsComprehension(term.Value) && c.ComprehensionIndex(term) != nil {
				count++
			}
			return false
		})
		return count
	}
	if got := indices(newCompiler(ast.RegoV1)); got != 0 {
		t.Errorf("%d comprehension indices, want none", got)
	}
	if got := indices(ast.NewCompiler()); got == 0 {
		t.Skip("the engine's defaults build no index here: the comparison shows nothing")
	}
}
