package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const modulePath = "pip-witness"

// boundary says what one package, or every package that a pattern of
// path.Match names, may import outside its tests.
type boundary struct {
	pkg string
	// may are the packages of this module, as patterns; "**" is any.
	may []string
	// outside are the modules of others, as path prefixes; nil is any.
	outside []string
	// never are packages of the standard library that neither this package nor
	// any package of ours below it imports.
	never []string
	// why is the reason, in words that help when the test fails.
	why string
}

// none forbids modules of others.
func none() []string { return []string{} }

// boundaries lists every package of the module. Stages (sandbox, egress,
// capture, attest, seal, verify) share nouns and never import each other: what
// passes between them is data that can be kept and looked at.
func boundaries() []boundary {
	engine := []string{"github.com/open-policy-agent/opa/v1", "gopkg.in/yaml.v3", "go.yaml.in/yaml", "sigs.k8s.io/yaml"}
	signing := []string{
		"github.com/secure-systems-lab/go-securesystemslib", "github.com/sigstore", "github.com/in-toto/attestation",
		"github.com/digitorus", "google.golang.org/protobuf", "golang.org/x/crypto",
	}
	return []boundary{
		{
			pkg: ".", may: []string{"internal/cli", "internal/sandbox", "internal/seal"}, outside: none(),
			why: "main hands over to the command line, or to the sandbox or signer whose part this process is",
		},
		{
			pkg: "evidence", outside: []string{"go.yaml.in/yaml"}, never: []string{"net", "net/http", "os", "os/exec"},
			why: "evidence is nouns and pure functions over them: whoever reads a recording links nothing else " +
				"than a parser for the table of watched paths, which it is given as bytes",
		},
		{
			pkg: "attestation", may: []string{"evidence"},
			outside: slices.Concat(signing, []string{"github.com/klauspost/compress"}), never: []string{"net/http", "os/exec"},
			why: "attestation is what is signed: bytes, types and cryptography, for verifiers that link nothing else",
		},
		{
			pkg: "policy", may: []string{"attestation", "evidence", "rules"},
			outside: slices.Concat(engine, signing), never: []string{"net/http", "os/exec"},
			why: "policy is nouns and their compilation; what it decides on arrives as attestations",
		},
		{
			pkg: "rules", outside: engine, never: []string{"net", "net/http", "os/exec"},
			why: "rules is data: modules, library and indicators",
		},
		{
			pkg: "verify", may: []string{"attestation", "evidence", "policy", "rules"},
			outside: slices.Concat(engine, signing, []string{"github.com/package-url"}), never: []string{"net/http", "os/exec"},
			why: "verify runs anywhere and executes nothing: it judges signed bytes with no code that made them; " +
				"its summaries name packages by package URL",
		},
		{
			pkg: "internal/pypi", may: []string{"evidence", "internal/attest"}, outside: []string{"github.com/aquasecurity", "golang.org/x/text"},
			never: []string{"os/exec"},
			why: "pypi reads what packages say about themselves, below the directories of a Layout; it runs nothing; " +
				"x/text finds names that are one file where Unicode is normalised",
		},
		{
			pkg: "internal/provenance", may: []string{"attestation", "internal/pypi"}, outside: signing,
			never: []string{"net", "net/http", "os/exec"},
			why:   "provenance judges bytes that an index sent, offline: who fetched them is none of its business",
		},
		{
			pkg: "internal/provenance/sigstoretest", outside: none(), never: []string{"net", "net/http", "os/exec"},
			why: "sigstoretest signs what tests want to be attested; nothing of the product is made of it",
		},
		{
			pkg: "internal/elffile", outside: none(), never: []string{"net", "os", "os/exec"},
			why: "elffile reads what it is given, for every attestor that looks into machine code",
		},
		{
			pkg: "internal/typosquat", may: []string{"internal/pypi"}, outside: none(), never: []string{"net", "net/http", "os/exec"},
			why: "typosquat compares names with a list",
		},
		{
			pkg: "internal/history", may: []string{"evidence", "internal/pypi"}, outside: none(),
			never: []string{"net", "net/http", "os/exec"},
			why:   "history computes on an index's page that others have asked for",
		},
		{
			pkg: "internal/walk", may: []string{"evidence", "internal/attest"},
			outside: []string{"github.com/charlievieth/fastwalk", "golang.org/x/sys", "golang.org/x/sync"},
			never:   []string{"net", "os/exec"},
			why:     "walk turns the file trees of a Layout into evidence and does nothing else with them",
		},
		{
			pkg: "internal/interpreter", may: []string{"evidence", "internal/pypi"}, outside: none(),
			why: "interpreter asks the user's Python before anything untrusted runs: it is before all stages",
		},
		{
			pkg: "internal/sandbox", may: []string{"evidence"},
			outside: []string{"golang.org/x/sys", "github.com/vishvananda", "github.com/landlock-lsm", "github.com/elastic/go-seccomp-bpf"},
			why:     "sandbox confines a command; how it is watched and judged is none of its business",
		},
		{
			pkg: "internal/egress", may: []string{"evidence", "internal/pypi"},
			outside: []string{"golang.org/x/net", "golang.org/x/sys", "golang.org/x/sync"}, never: []string{"os/exec"},
			why: "egress is the network that the sandbox sees; step gives it to the sandbox",
		},
		{
			pkg: "internal/capture", may: []string{"evidence"},
			outside: []string{"golang.org/x/sys", "golang.org/x/net/bpf", "github.com/elastic/go-seccomp-bpf"},
			why:     "capture is the interface of backends: it emits evidence",
		},
		{
			pkg: "internal/capture/conformance", outside: none(),
			why: "conformance holds every backend to the truth, in its tests; nothing of the product is made of it",
		},
		{
			pkg: "internal/attest", may: []string{"attestation", "evidence"}, outside: none(),
			never: []string{"net", "net/http", "os", "os/exec"},
			why:   "attest says what an attestor is and gets",
		},
		{
			pkg: "internal/attest/catalogue", may: []string{"internal/attest", "internal/attest/*"}, outside: none(),
			never: []string{"os/exec"},
			why:   "catalogue is the list of attestors and nothing else",
		},
		{
			pkg: "internal/attest/product", may: []string{"attestation", "evidence", "internal/attest", "internal/pypi", "internal/walk"},
			never: []string{"net", "os/exec"},
			why:   "product is an attestor; of net/http it uses DetectContentType only (TestAttestorsSniffOnly)",
		},
		{
			pkg: "internal/attest/secretscan", may: []string{"attestation", "evidence", "internal/attest", "internal/pypi", "internal/walk"},
			never: []string{"net", "os/exec"},
			why:   "secretscan is an attestor; of net/http it uses DetectContentType only (TestAttestorsSniffOnly)",
		},
		{
			pkg:   "internal/attest/pipinstall",
			may:   []string{"attestation", "evidence", "internal/attest", "internal/elffile", "internal/history", "internal/provenance", "internal/pypi", "internal/typosquat", "internal/walk"},
			never: []string{"net", "net/http", "os/exec"},
			why: "pip-install is an attestor; it also judges what an index says, which others have fetched: provenance verifies bytes, " +
				"history computes on a page, typosquat compares names",
		},
		{
			pkg: "internal/osv", may: []string{"internal/pypi", "internal/store"}, outside: []string{"github.com/pandatix/go-cvss"},
			never: []string{"net/http", "os/exec"},
			why:   "osv looks up a local database; who fetches it opens the connections",
		},
		{
			pkg: "internal/vex", may: []string{"internal/pypi"}, outside: []string{"github.com/package-url/packageurl-go"},
			never: []string{"net/http", "os/exec"},
			why:   "vex reads and writes one format",
		},
		{
			pkg: "internal/attest/sbom", may: []string{
				"attestation", "evidence", "internal/attest", "internal/elffile", "internal/licence", "internal/osv", "internal/pypi", "internal/vex", "internal/walk",
			},
			never: []string{"net/http", "os/exec"},
			why:   "sbom is an attestor that reads what packages say of their licence and looks them up in a local database, which it opens no connection for",
		},
		{
			pkg: "internal/attest/*", may: []string{"attestation", "evidence", "internal/attest", "internal/pypi", "internal/walk"},
			never: []string{"net", "net/http", "os/exec"},
			why:   "an attestor is a function from evidence and files to a predicate; after an untrusted install it runs nothing",
		},
		{
			pkg: "internal/licence", outside: none(), never: []string{"net", "net/http", "os", "os/exec"},
			why: "licence reads strings",
		},
		{
			pkg: "internal/seal", may: []string{"attestation", "evidence", "internal/store"},
			outside: slices.Concat(signing, []string{"golang.org/x/sys"}), never: []string{"net", "net/http"},
			why: "seal holds keys: it signs bytes and knows nothing of what they say; it starts itself as the process that " +
				"holds one, and nothing else",
		},
		{
			pkg: "internal/timestamp", may: []string{"attestation"}, outside: none(), never: []string{"os/exec"},
			why: "timestamp asks an authority over the network; it holds no key and knows nothing of what was signed",
		},
		{
			pkg: "internal/store", may: []string{"attestation", "evidence"},
			outside: []string{"github.com/klauspost/compress", "golang.org/x/sys"},
			never:   []string{"net", "os/exec"},
			why:     "store keeps evidence in a directory and reads it back; x/sys has the files without a name",
		},
		{
			pkg: "internal/report", may: []string{"attestation", "evidence", "policy", "verify"},
			never: []string{"net", "os/exec"},
			why:   "report renders the nouns; saved evidence renders the same",
		},
		{
			pkg: "internal/suite", may: []string{"policy"}, outside: engine, never: []string{"net", "os", "os/exec"},
			why: "suite runs tests in the policy engine, on files that it is given",
		},
		{
			pkg: "internal/step", may: []string{
				"attestation", "evidence", "internal/attest", "internal/attest/*", "internal/capture", "internal/capture/*",
				"internal/egress", "internal/interpreter", "internal/pypi", "internal/sandbox", "internal/seal",
				"internal/store", "internal/walk",
			},
			why: "step joins the stages that make evidence; it does not judge, so it has no policy and no verify",
		},
		{
			pkg: "internal/check", may: []string{"**"},
			why: "check joins two steps, their verification and the report",
		},
		{
			pkg: "internal/cli", may: []string{"**"},
			why: "cli joins everything, one file a verb",
		},
		{
			pkg: "internal/oracle", outside: none(),
			why: "oracle compares with strace, in its tests",
		},
		{
			pkg: "internal/testpkg", may: []string{"evidence"}, outside: []string{"golang.org/x/sys"}, never: []string{"net", "os/exec"},
			why: "testpkg builds packages for tests and benchmarks, and nothing of the product; " +
				"of x/sys it needs the numbers that records of system calls hold",
		},
		{
			pkg: "internal/testca", outside: []string{"github.com/digitorus"}, never: []string{"os/exec"},
			why: "testca makes certificates and time stamps for tests, with a library that the product does not use",
		},
		{
			pkg: "bench", may: []string{"**", "internal/testpkg"},
			why: "benchmarks measure everything",
		},
		{
			pkg: "bench/detect", may: []string{"**", "internal/testpkg", "internal/provenance/sigstoretest"},
			why: "detect measures the whole of it, on packages and with index attestations that it makes itself",
		},
	}
}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Error      *struct{ Err string }
}

// list returns the packages that go list prints for the arguments.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json=ImportPath,Standard,Imports,Error"}, args...)...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list %q: %v", args, err)
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list %q: %v", args, err)
		}
		packages = append(packages, p)
	}
}

// ours returns the imports of every package of the module, by its path without
// the module's: "." for the root.
func ours(t *testing.T) map[string][]string {
	t.Helper()
	packages := map[string][]string{}
	for _, p := range list(t, "./...") {
		packages[relative(p.ImportPath)] = p.Imports
	}
	return packages
}

// relative returns "." for the root package of the module, the path below it
// for others, and other import paths as they are.
func relative(importPath string) string {
	if importPath == modulePath {
		return "."
	}
	return strings.TrimPrefix(importPath, modulePath+"/")
}

// own reports whether the import path is one of this module.
func own(importPath string) bool {
	return importPath == modulePath || strings.HasPrefix(importPath, modulePath+"/")
}

// TestImports holds every package to its boundary.
func TestImports(t *testing.T) {
	packages := ours(t)
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(boundaries(), func(b boundary) bool { return matches(b.pkg, name) })
			if i < 0 {
				t.Fatalf("package %q is unknown: add it to boundaries with what it may import and why", name)
			}
			b := boundaries()[i]
			for _, imported := range packages[name] {
				if problem := b.refuses(imported); problem != "" {
					t.Errorf("%s imports %q, %s: %s", name, imported, problem, b.why)
				}
			}
			for reached, by := range reach(packages, name) {
				if slices.Contains(b.never, reached) {
					t.Errorf("%s reaches %q through %q: %s", name, reached, by, b.why)
				}
			}
		})
	}
}

// refuses returns what is wrong with a direct import, or nothing.
func (b boundary) refuses(imported string) string {
	switch {
	case own(imported):
		name := relative(imported)
		test := (name == "internal/testpkg" || name == "internal/testca") && !slices.Contains(b.may, name)
		if test || !slices.ContainsFunc(b.may, func(pattern string) bool { return matches(pattern, name) }) {
			return "which is beyond its boundary"
		}
	case strings.Contains(strings.Split(imported, "/")[0], "."):
		allowed := func(prefix string) bool { return imported == prefix || strings.HasPrefix(imported, prefix+"/") }
		if b.outside != nil && !slices.ContainsFunc(b.outside, allowed) {
			return "a module that it has no use for"
		}
	}
	return ""
}

// reach returns what the package and the packages of ours below it import from
// elsewhere, with one package that does.
func reach(packages map[string][]string, from string) map[string]string {
	reached := map[string]string{}
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, imported := range packages[name] {
			if own(imported) {
				visit(relative(imported))
			} else {
				reached[imported] = name
			}
		}
	}
	visit(from)
	return reached
}

// matches reports whether a package path fits a pattern of path.Match; "**"
// fits any, and "a/*" packages at any depth below a.
func matches(pattern, name string) bool {
	if pattern == "**" {
		return true
	}
	if below, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(name, below+"/")
	}
	return pattern == name
}

// TestVerifyExecutesNothing follows the modules of others too. The policy
// engine's compiler for WebAssembly can start an optimiser; we never compile to
// that target, and nothing else that verify links can start a program.
func TestVerifyExecutesNothing(t *testing.T) {
	if _, exists := ours(t)["verify"]; !exists {
		t.Fatal("there is no package verify")
	}
	forbidden := []string{"internal/capture", "internal/attest", "internal/sandbox", "internal/egress", "internal/step", "internal/seal"}
	for _, p := range list(t, "-deps", "./verify") {
		if own(p.ImportPath) {
			for _, stage := range forbidden {
				if name := relative(p.ImportPath); name == stage || strings.HasPrefix(name, stage+"/") {
					t.Errorf("verify reaches %q: it imports nothing of what made the evidence", name)
				}
			}
		}
		if !p.Standard && slices.Contains(p.Imports, "os/exec") &&
			p.ImportPath != "github.com/open-policy-agent/opa/internal/compiler/wasm" {
			t.Errorf("verify reaches os/exec through %q: it executes nothing", p.ImportPath)
		}
	}
}

// TestBoundariesAreUsed fails for a line of the table that names no package.
func TestBoundariesAreUsed(t *testing.T) {
	packages := ours(t)
	for _, b := range boundaries() {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(packages)), func(name string) bool { return matches(b.pkg, name) }) {
			t.Errorf("no package is %q: take the line out of boundaries", b.pkg)
		}
	}
}

// tracked returns the files of the work tree that are, or would be, committed.
func tracked(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("needs git and its work tree: %v", err)
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		t.Skip("needs git and its work tree: no files are listed")
	}
	return files
}

// TestNoRegistration refuses what runs before main: explicit lists say what
// there is. Embedding a file into a string needs the blank import of embed.
func TestNoRegistration(t *testing.T) {
	for _, name := range tracked(t) {
		if path.Ext(name) != ".go" {
			continue
		}
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parse %q: %v", name, err)
			continue
		}
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: what it does belongs into an explicit call", positions.Position(f.Pos()))
			}
		}
		for _, spec := range file.Imports {
			if spec.Name != nil && spec.Name.Name == "_" && spec.Path.Value != `"embed"` {
				t.Errorf("%s: blank import of %s: say what is used of it", positions.Position(spec.Pos()), spec.Path.Value)
			}
		}
	}
}

// TestAttestorsSniffOnly holds the attestors to the one function of net/http
// that opens no connection.
func TestAttestorsSniffOnly(t *testing.T) {
	for _, name := range tracked(t) {
		if !strings.HasPrefix(name, "internal/attest/") || path.Ext(name) != ".go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Errorf("parse %q: %v", name, err)
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "http" && selector.Sel.Name != "DetectContentType" {
				t.Errorf("%s uses http.%s", name, selector.Sel.Name)
			}
			return true
		})
	}
}

// TestNoHostsNorMachinePaths keeps the project free of the places where it
// happens to be built: the index comes from the installer's configuration. The
// needles are joined here so that this file does not contain them.
func TestNoHostsNorMachinePaths(t *testing.T) {
	needles := map[string]string{}
	for _, host := range [][]string{
		{"pypi", "org"}, {"pythonhosted", "org"}, {"proxy.golang", "org"}, {"sum.golang", "org"},
		{"npmjs", "org"}, {"npmjs", "com"}, {"crates", "io"}, {"rubygems", "org"},
		{"maven", "org"}, {"repo.maven.apache", "org"}, {"deb.debian", "org"}, {"anaconda", "org"},
	} {
		needles[strings.Join(host, ".")] = "the host of a package registry"
	}
	for _, parts := range [][]string{
		{"work", "main"}, {"work", "shared"}, {"root", "go", "pkg"}, {"root", ".pyenv"}, {"root", ".cache", "go-build"},
	} {
		needles["/"+strings.Join(parts, "/")] = "a path of the machine that it was written on"
	}
	for _, name := range tracked(t) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("read %q: %v", name, err)
			continue
		}
		lower := bytes.ToLower(content)
		for needle, what := range needles {
			if at := bytes.Index(lower, []byte(needle)); at >= 0 {
				line := 1 + bytes.Count(lower[:at], []byte("\n"))
				t.Errorf("%s:%d: names %s, %q", name, line, what, needle)
			}
		}
	}
}
