package pipinstall

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"pip-witness/internal/pypi"
)

// moduleFacts is what one Python file shows, or why it was not read.
type moduleFacts struct {
	facts   sourceFacts
	problem error
	// encoded is true for text that the interpreter decodes before it reads it.
	encoded bool
	cut     bool // there were more facts than are kept
}

// Limits on the files that are read together, and on what is kept of one.
const (
	moduleBatch    = 64
	maxModuleFacts = 500
)

// modules reads the Python files that the walk found, several at a time, and
// writes down what they show in the order of the walk.
func (w *fileWalk) modules(ctx context.Context) error {
	var total atomic.Int64
	for chunk := range slices.Chunk(w.python, moduleBatch) {
		found := make([]moduleFacts, len(chunk))
		var next atomic.Int64
		var wg sync.WaitGroup
		for range min(maxReaders, runtime.GOMAXPROCS(0)) {
			wg.Go(func() {
				for ctx.Err() == nil {
					i := int(next.Add(1)) - 1
					if i >= len(chunk) {
						return
					}
					found[i] = w.readModule(chunk[i], &total)
				}
			})
		}
		wg.Wait()
		if err := ctx.Err(); err != nil {
			return err
		}
		for i, p := range chunk {
			w.module(p, &found[i])
		}
	}
	return nil
}

func (w *fileWalk) readModule(p string, total *atomic.Int64) moduleFacts {
	data, err := pypi.ReadFile(w.root, p, maxPyFile)
	if err == nil && total.Add(int64(len(data))) > maxPyBytes {
		err = fmt.Errorf("more than %d bytes of Python source: the rest was not read", maxPyBytes)
	}
	if err != nil {
		return moduleFacts{problem: err}
	}
	m := moduleFacts{facts: readSource(data), encoded: declaresEncoding(data)}
	m.cut = m.facts.cut
	m.keep(path.Base(p) == "__init__.py")
	return m
}

// keep leaves what is written down, copied, so that the source is not held.
func (m *moduleFacts) keep(init bool) {
	f := &m.facts
	f.files = nil
	f.calls = slices.DeleteFunc(f.calls, func(o observation) bool {
		process := isProcessCall(o.what)
		return !(process && init) && (o.deferred || !process && networkKind(o.what) == "")
	})
	f.imports = slices.DeleteFunc(f.imports, func(o observation) bool { return !init || !isNetworkModule(o.what) })
	for _, list := range []*[]observation{&f.calls, &f.imports, &f.hooks, &f.encoded, &f.obscured} {
		if len(*list) > maxModuleFacts {
			*list, m.cut = (*list)[:maxModuleFacts], true
		}
		*list = slices.Clone(*list)
		for i := range *list {
			o := &(*list)[i]
			o.what, o.in, o.through = clip(strings.Clone(o.what)), "", clip(strings.Clone(o.through))
		}
	}
}

// declaresEncoding reports whether one of the first two lines declares an
// encoding (PEP 263) in which text may mean something else than its bytes say.
func declaresEncoding(src []byte) bool {
	for range 2 {
		line, rest, _ := bytes.Cut(src, []byte("\n"))
		src = rest
		trimmed := bytes.TrimLeft(line, " \t\f")
		at := bytes.Index(line, []byte("coding"))
		if len(trimmed) == 0 || trimmed[0] != '#' || at < 0 || at+7 >= len(line) || line[at+6] != ':' && line[at+6] != '=' {
			continue
		}
		name := bytes.ToLower(bytes.TrimLeft(line[at+7:], " \t"))
		for _, plain := range []string{"utf-8", "utf8", "utf_8", "ascii", "us-ascii", "latin-1", "latin1", "iso-8859-1", "iso-8859-15", "cp1252"} {
			if rest, ok := bytes.CutPrefix(name, []byte(plain)); ok && (len(rest) == 0 || !isNamePart(rest[0]) && rest[0] != '-') {
				return false // these agree with UTF-8 on everything that is code
			}
		}
		return true
	}
	return false
}

// module writes down what one file shows.
func (w *fileWalk) module(p string, m *moduleFacts) {
	full := path.Join(w.site, p)
	if m.problem != nil {
		w.c.notExamined("installedFileAnalysis of "+full, "%v", m.problem)
		return
	}
	if m.encoded {
		w.c.notExamined("installedFileAnalysis of "+full, "its source has an encoding other than UTF-8: it was read as if it were")
	}
	if m.cut {
		w.c.notExamined("installedFileAnalysis of "+full, "more calls or facts of a kind than are followed: %d of each are kept", maxModuleFacts)
	}
	w.out.TotalPyFiles++
	at := func(o observation, what string) string {
		return fmt.Sprintf("%s:%d: %s%s", full, o.line, what, suffix(o))
	}
	fact := func(o observation, kind string) SourceFact {
		return SourceFact{Path: full, Line: o.line, Package: w.owners[p], Kind: kind, What: o.what, Deferred: o.deferred, Through: o.through}
	}
	for _, o := range m.facts.hooks {
		w.add("suspiciousImports", &w.out.SuspiciousImports, at(o, o.what))
	}
	for _, o := range m.facts.calls {
		kind := networkKind(o.what)
		if isProcessCall(o.what) {
			kind = "process"
			if path.Base(p) == "__init__.py" {
				w.add("subprocessInInit", &w.out.SubprocessInInit, at(o, o.what))
			}
		}
		if !o.deferred {
			addTo(w, "importTime", &w.out.ImportTime, fact(o, kind))
		}
	}
	for _, o := range m.facts.obscured {
		addTo(w, "obfuscation", &w.out.Obfuscation, fact(o, o.kind))
	}
	for _, o := range m.facts.encoded {
		addTo(w, "obfuscation", &w.out.Obfuscation, fact(o, "encoded-literal"))
	}
	last := 0
	for _, o := range m.facts.imports {
		if o.line != last {
			last = o.line // one entry for "from socket import a, b"
			w.add("networkInInit", &w.out.NetworkInInit, at(o, "import "+o.what))
		}
	}
}
