package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// large is evidence of 500 processes that opened 400 files each, as a build
// with a compiler leaves it: mostly the same headers, some files of its own.
func large(b *testing.B) ast.Value {
	b.Helper()
	processes := make([]map[string]any, 500)
	for i := range processes {
		opened, opens := map[string]any{}, []any{}
		for j := range 400 {
			p := fmt.Sprintf("/usr/include/x86_64-linux-gnu/bits/header%d.h", j)
			switch {
			case j%8 == 0:
				p = fmt.Sprintf("/tmp/pip-install-abc/demo/src/file%d_%d.c", i, j)
			case j%4 == 1:
				p = fmt.Sprintf("/home/user/venv/lib/python3.11/site-packages/demo/part%d.py", j)
			}
			opened[p] = map[string]string{"sha256": "0123456789abcdef"}
			opens = append(opens, map[string]any{"path": p, "flags": "O_RDONLY", "mode": "read", "timestamp": "2026-11-23T10:00:06Z"})
		}
		processes[i] = map[string]any{
			"program": "/usr/bin/gcc", "processid": i + 2, "parentpid": max(0, i/2+1), "role": "build-child",
			"cmdline": "gcc -c x.c", "args": []string{"gcc", "-c", "x.c"}, "starttime": "2026-11-23T10:00:00Z",
			"execs":       []any{map[string]any{"program": "/usr/bin/gcc", "argv": []string{"gcc", "-c", "x.c"}}},
			"openedfiles": opened, "network": map[string]any{},
			"fileOps": map[string]any{"opens": opens, "writes": []any{map[string]any{"path": fmt.Sprintf("/tmp/cc%d.s", i)}}},
		}
	}
	document, err := json.Marshal(map[string]any{
		"processes": processes, "changes": []any{},
		"coverage": map[string]any{"trapped": []string{}, "sandbox": map[string]any{
			"home": "/home/user", "prefix": "/home/user/venv", "tempDir": "/tmp", "workDir": "/home/user/project",
			"sitePackages": []string{"/home/user/venv/lib/python3.11/site-packages"}, "basePrefixes": []string{"/opt/python"},
			"readOnly": []string{"/"}, "gateway": "127.0.0.1:4000",
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	v, err := ast.ValueFromReader(bytes.NewReader(document))
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// used is the processor time that this process has used.
func used(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkAll asks all modules of the folder at once. Next to the time that passed
// stands the processor's, which other work on the machine does not lengthen.
func BenchmarkAll(b *testing.B) {
	input := large(b)
	modules := ask(b, moduleNames(b))
	b.ReportAllocs()
	before := used(b)
	for b.Loop() {
		results, err := modules.query.Eval(b.Context(), rego.EvalParsedInput(input))
		if err != nil {
			b.Fatal(err)
		}
		if len(results) != 1 {
			b.Fatalf("%d results", len(results))
		}
	}
	b.ReportMetric((used(b)-before).Seconds()/float64(b.N), "cpu-s/op")
}

func BenchmarkModules(b *testing.B) {
	input := large(b)
	compiler := compiled(b)
	store := inmem.NewFromObjectWithOpts(data(b), inmem.OptReturnASTValuesOnRead(true))
	for _, name := range moduleNames(b) {
		b.Run(name, func(b *testing.B) {
			query, err := rego.New(rego.Query("x := data.pip_witness."+name+".deny"), rego.Compiler(compiler),
				rego.Store(store), rego.StrictBuiltinErrors(true)).PrepareForEval(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				results, err := query.Eval(b.Context(), rego.EvalParsedInput(input))
				if err != nil {
					b.Fatal(err)
				}
				if len(results) != 1 {
					b.Fatalf("%d results", len(results))
				}
			}
		})
	}
}
