package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"pip-witness/internal/testpkg"
)

// Ends of file names that stand for something made of the file in advance.
const (
	sourceExtension = ".ext.c"  // an extension module of Python
	sourceLibrary   = ".so.c"   // a shared library
	sourceProgram   = ".exe.c"  // a program
	sourceCompiled  = ".pyc.py" // byte code of Python
	sourceBinary    = ".b64"    // bytes, in base64
)

// NotRunError is why a scenario cannot run on this machine.
type NotRunError struct{ Reason string }

func (e *NotRunError) Error() string { return e.Reason }

// toolchain makes distribution files.
type toolchain struct {
	python   string
	compiler string // empty where there is none
	// Of the interpreter: the suffix of extension modules, the directory of its
	// headers, and the compatibility tag of what is compiled for it.
	suffix, include, tag string
}

// newToolchain asks the interpreter once.
func newToolchain(ctx context.Context, python string) (toolchain, error) {
	t := toolchain{python: python}
	const ask = `import json, sys, sysconfig
abi = "cp%d%d" % sys.version_info[:2]
print(json.dumps([sys.executable, sysconfig.get_config_var("EXT_SUFFIX"), sysconfig.get_path("include"),
                  "-".join((abi, abi, sysconfig.get_platform().replace("-", "_").replace(".", "_")))]))`
	out, err := exec.CommandContext(ctx, python, "-I", "-c", ask).Output()
	if err != nil {
		return t, fmt.Errorf("ask -python %q: %w", python, err)
	}
	var answers [4]string
	if err := json.Unmarshal(out, &answers); err != nil {
		return t, fmt.Errorf("ask -python %q: %w", python, err)
	}
	t.python, t.suffix, t.include, t.tag = answers[0], answers[1], answers[2], answers[3]
	for _, name := range []string{"gcc", "cc", "clang"} {
		if found, err := exec.LookPath(name); err == nil {
			t.compiler = found
			break
		}
	}
	return t, nil
}

// file is a built distribution file.
type file struct {
	name, project, version string
	content                []byte
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// build makes the distribution files of a project: its own under the empty name,
// and the further ones.
func (t toolchain) build(ctx context.Context, p project) (map[string]file, error) {
	built := map[string]file{}
	own, err := t.pack(ctx, p, p.Kind, p.Distribution, p.Version, p.packaging, p.own)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", p.ID, err)
	}
	built[""] = own
	for name, o := range p.Others {
		one, err := t.pack(ctx, p, cmp.Or(o.Kind, kindWheel), cmp.Or(o.Dist, p.Distribution), cmp.Or(o.Version, p.Version), o.packaging, p.others[name])
		if err != nil {
			return nil, fmt.Errorf("build @%s of %s: %w", name, p.ID, err)
		}
		built[name] = one
	}
	return built, nil
}

// pack makes one distribution file.
func (t toolchain) pack(ctx context.Context, p project, kind, dist, version string, about packaging, sources map[string]string) (file, error) {
	files, compiled, err := t.prepare(ctx, sources)
	if err != nil {
		return file{}, err
	}
	w := testpkg.Wheel{
		Name: dist, Version: version, Files: files, Requires: about.Requires, Scripts: about.Scripts, Metadata: about.Metadata, Tag: about.Tag,
	}
	if compiled && w.Tag == "" {
		w.Tag = t.tag
	}
	var archive testpkg.Archive = w
	switch _, project := files["pyproject.toml"]; {
	case kind == kindWheel:
		w.Files, w.Data = split(files, w.Stem())
		w.Record = about.record(w.Stem())
		archive = w
	case files["setup.py"] == "" && !project:
		archive = p.inTree(w, files)
	default:
		archive = testpkg.Sdist{Name: dist, Version: version, Files: files, Requires: about.Requires, Metadata: about.Metadata}
	}
	content, err := archive.Bytes()
	return file{name: archive.Filename(), project: dist, version: version, content: content}, err
}

// split takes the files of the .data directory from the others, and names those
// of the .dist-info directory.
func split(files map[string]string, stem string) (own, data map[string]string) {
	own, data = map[string]string{}, map[string]string{}
	for name, content := range files {
		if inside, ok := strings.CutPrefix(name, "@"+placeData+"/"); ok {
			data[inside] = content
		} else if inside, ok := strings.CutPrefix(name, "@"+placeDistInfo+"/"); ok {
			own[stem+".dist-info/"+inside] = content
		} else {
			own[name] = content
		}
	}
	return own, data
}

// record changes the RECORD of a wheel as the header asks for; nil leaves it.
func (a packaging) record(stem string) func(string) string {
	if len(a.Unrecorded) == 0 && len(a.Misrecorded) == 0 {
		return nil
	}
	inWheel := func(names []string) []string {
		inside := slices.Clone(names)
		for i := range inside {
			inside[i] = strings.Replace(strings.Replace(inside[i], "@"+placeDistInfo+"/", stem+".dist-info/", 1), "@"+placeData+"/", stem+".data/", 1)
		}
		return inside
	}
	unrecorded, misrecorded := inWheel(a.Unrecorded), inWheel(a.Misrecorded)
	return func(record string) string {
		var b strings.Builder
		for line := range strings.Lines(record) {
			name, rest, _ := strings.Cut(line, ",")
			switch {
			case slices.Contains(unrecorded, name):
			case slices.Contains(misrecorded, name):
				_, size, _ := strings.Cut(rest, ",")
				wrong := sha256.Sum256([]byte("other content"))
				fmt.Fprintf(&b, "%s,sha256=%s,%s", name, base64.RawURLEncoding.EncodeToString(wrong[:]), size)
			default:
				b.WriteString(line)
			}
		}
		return b.String()
	}
}

// inTree is an sdist that builds itself: payload.py runs in its build backend. Of
// what lies in directories, only those of the module are installed.
func (p project) inTree(w testpkg.Wheel, files map[string]string) testpkg.InTree {
	t := testpkg.InTree{Wheel: w, Hook: files[payloadFile], Sources: map[string]string{}}
	t.Wheel.Files = map[string]string{}
	for name, content := range files {
		switch inside, _, deep := strings.Cut(name, "/"); {
		case name == payloadFile:
		case deep && inside != p.module:
			t.Sources[name] = content
		default:
			t.Wheel.Files[name] = content
		}
	}
	return t
}

// prepare makes what the ends of the names stand for; compiled tells that
// something is for this platform only.
func (t toolchain) prepare(ctx context.Context, sources map[string]string) (files map[string]string, compiled bool, err error) {
	files = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		content, target := sources[name], name
		switch {
		case strings.HasSuffix(name, sourceExtension):
			target = strings.TrimSuffix(name, sourceExtension) + t.suffix
			content, err = t.compile(ctx, content, "-shared", "-fPIC", "-I"+t.include)
		case strings.HasSuffix(name, sourceLibrary):
			target = strings.TrimSuffix(name, ".c")
			content, err = t.compile(ctx, content, "-shared", "-fPIC")
		case strings.HasSuffix(name, sourceProgram):
			target = strings.TrimSuffix(name, sourceProgram)
			content, err = t.compile(ctx, content)
		case strings.HasSuffix(name, sourceCompiled):
			target = strings.TrimSuffix(name, ".py")
			content, err = t.byteCode(ctx, path.Base(name), content)
		case strings.HasSuffix(name, sourceBinary):
			target = strings.TrimSuffix(name, sourceBinary)
			var raw []byte
			raw, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(content), ""))
			content = string(raw)
		}
		if err != nil {
			return nil, false, fmt.Errorf("make %q: %w", target, err)
		}
		compiled = compiled || strings.HasSuffix(name, sourceExtension) || strings.HasSuffix(name, sourceLibrary) || strings.HasSuffix(name, sourceProgram)
		files[target] = content
	}
	return files, compiled, nil
}

// compile makes machine code of C. It runs nothing of it.
func (t toolchain) compile(ctx context.Context, source string, flags ...string) (string, error) {
	if t.compiler == "" {
		return "", &NotRunError{"needs a C compiler (gcc, cc or clang)"}
	}
	if strings.Contains(source, "<Python.h>") {
		if _, err := os.Stat(filepath.Join(t.include, "Python.h")); err != nil {
			return "", &NotRunError{"needs the headers of Python"}
		}
	}
	return t.convert("source.c", source, func(in, out string) *exec.Cmd {
		// Without a build id and paths the same source gives the same bytes.
		args := append(slices.Clone(flags), "-O1", "-w", "-Wl,--build-id=none", "-o", out, filepath.Base(in))
		return exec.CommandContext(ctx, t.compiler, append(args, "-ldl", "-lpthread")...)
	})
}

// byteCode compiles Python without running it.
func (t toolchain) byteCode(ctx context.Context, name, source string) (string, error) {
	const program = `import py_compile, sys
py_compile.compile(sys.argv[1], cfile=sys.argv[2], dfile=sys.argv[1], doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)`
	return t.convert(strings.TrimSuffix(name, sourceCompiled)+".py", source, func(in, out string) *exec.Cmd {
		return exec.CommandContext(ctx, t.python, "-I", "-c", program, filepath.Base(in), out)
	})
}

// convert runs a compiler on a source in a directory of its own.
func (t toolchain) convert(name, source string, command func(in, out string) *exec.Cmd) (_ string, err error) {
	dir, err := os.MkdirTemp("", "detect-compile-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	in, out := filepath.Join(dir, name), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte(source), 0o600); err != nil {
		return "", err
	}
	compiler := command(in, out)
	compiler.Dir = dir
	if said, err := compiler.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, tail(said, 600))
	}
	content, err := os.ReadFile(out)
	return string(content), err
}
