package pypi

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"pip-witness/internal/attest"
)

// Environment is what is installed in the site directories of one environment.
type Environment struct {
	// Sites are the site directories that were read, absolute inside the
	// sandbox; two names of one directory (lib and lib64) count once.
	Sites []string
	// Distributions are sorted by key, version, location and metadata directory.
	Distributions []Distribution
	// Problems are site directories and metadata directories that could not be
	// read at all, sorted; problems of one distribution are in it.
	Problems []string
}

// Distribution is one installed distribution, as its metadata directory says.
type Distribution struct {
	// Key is the normalised name, Name and Version are as in the metadata.
	Key     string
	Name    string
	Version string
	// Location is the site directory, absolute inside the sandbox; InfoDir the
	// name of the metadata directory (or file) in it.
	Location string
	InfoDir  string
	// Format is "dist-info", "egg-info" or "egg-link".
	Format   string
	Metadata Metadata
	// Record is nil when there is no RECORD; for egg-info it is made from
	// installed-files.txt where that exists, without digests.
	Record []RecordEntry
	// Wheel and DirectURL are nil when the file does not exist.
	Wheel     *WheelInfo
	DirectURL *DirectURL
	// Installer is the content of INSTALLER ("pip"), Requested whether REQUESTED exists.
	Installer   string
	Requested   bool
	EntryPoints []EntryPoint
	// TopLevel is top_level.txt, Namespaces namespace_packages.txt, in file order.
	TopLevel   []string
	Namespaces []string
	// Problems are files of the metadata directory that could not be read or parsed.
	Problems []string
}

// Installed reads the distributions of the environment that layout describes,
// and of no other. An error means that no site directory could be read.
func Installed(layout attest.Layout) (Environment, error) {
	var env Environment
	var seen []fs.FileInfo
	var last error
	for _, site := range layout.SitePackages {
		root, err := OpenDir(layout, site)
		if err != nil {
			last = err
			if !errors.Is(err, fs.ErrNotExist) {
				env.Problems = append(env.Problems, fmt.Sprintf("site directory %q: %v", site, err))
			}
			continue
		}
		info, err := root.Stat(".")
		if err == nil && !slices.ContainsFunc(seen, func(o fs.FileInfo) bool { return os.SameFile(o, info) }) {
			seen = append(seen, info)
			env.Sites = append(env.Sites, site)
			env.readSite(layout, root, site)
		}
		root.Close()
	}
	if len(env.Sites) == 0 {
		if last == nil {
			last = errors.New("the layout names none")
		}
		return env, fmt.Errorf("read installed distributions: no site directory of %q: %w", layout.Prefix, last)
	}
	slices.SortFunc(env.Distributions, func(a, b Distribution) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Location, b.Location), cmp.Compare(a.InfoDir, b.InfoDir))
	})
	slices.Sort(env.Problems)
	return env, nil
}

// Find returns the first distribution of a project, nil when it is not installed.
func (e *Environment) Find(name string) *Distribution {
	key := Normalize(name)
	for i := range e.Distributions {
		if e.Distributions[i].Key == key {
			return &e.Distributions[i]
		}
	}
	return nil
}

func (e *Environment) readSite(layout attest.Layout, root *os.Root, site string) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		e.Problems = append(e.Problems, fmt.Sprintf("site directory %q: %v", site, err))
		return
	}
	count := 0
	for _, entry := range entries {
		name := entry.Name()
		ext := path.Ext(name)
		// Names with '~' are what an installer leaves of an interrupted removal.
		if ext != ".dist-info" && ext != ".egg-info" && ext != ".egg-link" || strings.HasPrefix(name, "~") {
			continue
		}
		if count++; count > maxInfoDirs {
			e.Problems = append(e.Problems, fmt.Sprintf("site directory %q: more than %d distributions: the rest was not read", site, maxInfoDirs))
			return
		}
		if ext == ".egg-link" {
			e.readLink(layout, root, site, name)
			continue
		}
		e.add(readInfo(root, site, name))
	}
}

func (e *Environment) add(d Distribution, err error) {
	if err != nil {
		e.Problems = append(e.Problems, err.Error())
		return
	}
	e.Distributions = append(e.Distributions, d)
}

// readLink follows an egg-link: a file whose first line names the directory of
// a project installed in development mode.
func (e *Environment) readLink(layout attest.Layout, root *os.Root, site, name string) {
	data, err := ReadFile(root, name, maxMetadataSize)
	if err != nil {
		e.add(Distribution{}, fmt.Errorf("egg-link %q: %w", path.Join(site, name), err))
		return
	}
	target, _, _ := strings.Cut(string(data), "\n")
	target = strings.TrimSpace(target)
	dir, err := OpenDir(layout, target)
	if err != nil {
		e.add(Distribution{}, fmt.Errorf("egg-link %q: %w", path.Join(site, name), err))
		return
	}
	defer dir.Close()
	infos, _ := fs.Glob(dir.FS(), "*.egg-info")
	want := Normalize(strings.TrimSuffix(name, ".egg-link"))
	for _, info := range infos {
		d, err := readInfo(dir, target, info)
		if err == nil && d.Key == want {
			d.Format, d.Location = "egg-link", target
			e.add(d, nil)
			return
		}
	}
	e.add(Distribution{}, fmt.Errorf("egg-link %q: no metadata of %q in %q", path.Join(site, name), want, target))
}

// readInfo reads one metadata directory, or an egg-info file.
func readInfo(root *os.Root, site, name string) (Distribution, error) {
	d := Distribution{Location: site, InfoDir: name, Format: strings.TrimPrefix(path.Ext(name), ".")}
	info, err := root.Stat(name)
	if err != nil {
		return d, fmt.Errorf("metadata %q: %w", path.Join(site, name), err)
	}
	file := path.Join(name, "METADATA")
	switch {
	case !info.IsDir():
		file = name
	case d.Format == "egg-info":
		file = path.Join(name, "PKG-INFO")
	}
	data, err := ReadFile(root, file, maxMetadataSize)
	if err != nil {
		return d, fmt.Errorf("metadata %q: %w", path.Join(site, name), err)
	}
	if d.Metadata, err = ParseMetadata(data); err != nil {
		return d, fmt.Errorf("metadata %q: %w", path.Join(site, name), err)
	}
	d.Name, d.Version, d.Key = d.Metadata.Name, d.Metadata.Version, Normalize(d.Metadata.Name)
	if info.IsDir() {
		d.readFiles(root)
	}
	return d, nil
}

// readFiles reads what lies beside the metadata. A missing file is no problem,
// a broken one is.
func (d *Distribution) readFiles(root *os.Root) {
	read := func(name string, limit int64, parse func([]byte) error) {
		data, err := ReadFile(root, path.Join(d.InfoDir, name), limit)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			err = parse(data)
		}
		if err != nil {
			d.Problems = append(d.Problems, fmt.Sprintf("%s: %v", name, err))
		}
	}
	lines := func(into *[]string) func([]byte) error {
		return func(data []byte) error {
			*into = append(*into, strings.Fields(string(data))...)
			return nil
		}
	}
	read("RECORD", maxRecordSize, func(b []byte) (err error) { d.Record, err = ParseRecord(b); return err })
	read("WHEEL", maxMetadataSize, func(b []byte) error {
		w, err := ParseWheel(b)
		d.Wheel = &w
		return err
	})
	read("INSTALLER", maxMetadataSize, func(b []byte) error { d.Installer = strings.TrimSpace(string(b)); return nil })
	read("REQUESTED", maxMetadataSize, func([]byte) error { d.Requested = true; return nil })
	read("direct_url.json", maxDirectURLSize, func(b []byte) error {
		u, err := ParseDirectURL(b)
		if err == nil {
			d.DirectURL = &u
		}
		return err
	})
	read("entry_points.txt", maxMetadataSize, func(b []byte) (err error) { d.EntryPoints, err = ParseEntryPoints(b); return err })
	read("top_level.txt", maxMetadataSize, lines(&d.TopLevel))
	read("namespace_packages.txt", maxMetadataSize, lines(&d.Namespaces))
	if d.Format == "egg-info" {
		read("installed-files.txt", maxRecordSize, func(b []byte) error {
			for line := range strings.Lines(string(b)) {
				if p := strings.TrimSpace(line); p != "" {
					d.Record = append(d.Record, RecordEntry{Path: path.Join(d.InfoDir, p), Size: -1})
				}
			}
			return nil
		})
		read("requires.txt", maxMetadataSize, func(b []byte) error {
			if len(d.Metadata.RequiresDist) == 0 {
				d.Metadata.RequiresDist = requiresTxt(string(b))
			}
			return nil
		})
	}
}

// requiresTxt turns the requires.txt of egg-info into requirements of PEP 508:
// a section [extra:marker] qualifies the lines below it.
func requiresTxt(text string) []string {
	var out []string
	condition := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if section, ok := strings.CutPrefix(line, "["); ok {
			extra, marker, _ := strings.Cut(strings.TrimSuffix(section, "]"), ":")
			var parts []string
			if marker != "" {
				parts = append(parts, "("+marker+")")
			}
			if extra != "" {
				parts = append(parts, fmt.Sprintf("extra == %q", extra))
			}
			condition = strings.Join(parts, " and ")
			continue
		}
		if condition != "" {
			line += " ; " + condition
		}
		out = append(out, line)
	}
	return out
}
