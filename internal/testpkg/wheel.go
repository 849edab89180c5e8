package testpkg

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Wheel is a wheel to build, in the binary distribution format of PEP 427. The
// zero value of every field but Name and Version is usable.
type Wheel struct {
	// Name is the project name as its METADATA spells it; Version is used as it
	// is, without normalisation.
	Name, Version string
	// Files maps archive paths relative to site-packages to their content. One of
	// the .dist-info directory takes the place of what would be generated.
	Files map[string]string
	// Data maps "<scheme>/<path>" (scripts, data, headers, purelib, platlib) to
	// content; the entries land below <name>-<version>.data.
	Data map[string]string
	// Requires are Requires-Dist values, PEP 508 requirements.
	Requires []string
	// Scripts maps the name of a console script to "module:function".
	Scripts map[string]string
	// Metadata are further METADATA header lines without line ends, such as
	// "License: MIT".
	Metadata []string
	// Tag is the compatibility tag; empty means "py3-none-any".
	Tag string
	// Record changes the RECORD file before it is packed; nil leaves it right.
	// Returning "" leaves the file out. Only faulty wheels set it.
	Record func(record string) string
	// DistInfo is the stem of the dist-info directory; empty means the one that
	// fits the file name. Only faulty wheels set it.
	DistInfo string
}

// Filename returns the wheel's file name.
func (w Wheel) Filename() string {
	return fmt.Sprintf("%s-%s.whl", w.stem(), cmp.Or(w.Tag, "py3-none-any"))
}

// Bytes returns the archive. The same Wheel gives the same bytes.
func (w Wheel) Bytes() ([]byte, error) {
	files := maps.Clone(w.Files)
	if files == nil {
		files = map[string]string{}
	}
	for name, content := range w.Data {
		files[w.stem()+".data/"+name] = content
	}
	info := cmp.Or(w.DistInfo, w.stem()) + ".dist-info/"
	generate := func(name, content string) {
		if _, given := files[info+name]; !given {
			files[info+name] = content
		}
	}
	generate("METADATA", w.metadata())
	generate("WHEEL", "Wheel-Version: 1.0\nGenerator: testpkg\nRoot-Is-Purelib: true\nTag: "+
		cmp.Or(w.Tag, "py3-none-any")+"\n")
	if len(w.Scripts) > 0 {
		generate("entry_points.txt", w.entryPoints())
	}
	if _, given := files[info+"RECORD"]; !given {
		record, err := recordOf(files, info+"RECORD")
		if err != nil {
			return nil, fmt.Errorf("write RECORD of %q: %w", w.Filename(), err)
		}
		if w.Record != nil {
			record = w.Record(record)
		}
		if record != "" {
			files[info+"RECORD"] = record
		}
	}
	content, err := zipOf(files)
	if err != nil {
		return nil, fmt.Errorf("pack wheel %q: %w", w.Filename(), err)
	}
	return content, nil
}

// Stem is "<name>-<version>" as the names of the file and of its .dist-info
// directory begin.
func (w Wheel) Stem() string { return w.stem() }

// stem is "<name>-<version>" with the name escaped as the wheel and sdist file
// name specifications ask for: PEP 503 form with underscores.
func (w Wheel) stem() string { return escapeName(w.Name) + "-" + w.Version }

func (w Wheel) metadata() string {
	return coreMetadata(w.Name, w.Version, w.Requires, w.Metadata)
}

func (w Wheel) entryPoints() string {
	if len(w.Scripts) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("[console_scripts]\n")
	for _, name := range slices.Sorted(maps.Keys(w.Scripts)) {
		fmt.Fprintf(&b, "%s = %s\n", name, w.Scripts[name])
	}
	return b.String()
}

// coreMetadata returns a core metadata 2.1 document, for METADATA and PKG-INFO.
func coreMetadata(name, version string, requires, more []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)
	for _, line := range more {
		b.WriteString(line + "\n")
	}
	for _, requirement := range requires {
		b.WriteString("Requires-Dist: " + requirement + "\n")
	}
	return b.String()
}

// escapeName lowers name and turns each run of "-", "_" and "." into one "_".
func escapeName(name string) string {
	separator := func(r rune) bool { return r == '-' || r == '_' || r == '.' }
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), separator), "_")
}

// recordOf returns the RECORD of files: path, digest and size of each in order
// of path, and itself without both.
func recordOf(files map[string]string, itself string) (string, error) {
	var b bytes.Buffer
	rows := csv.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		digest := sha256.Sum256([]byte(files[name]))
		encoded := "sha256=" + base64.RawURLEncoding.EncodeToString(digest[:])
		if err := rows.Write([]string{name, encoded, strconv.Itoa(len(files[name]))}); err != nil {
			return "", err
		}
	}
	if err := rows.Write([]string{itself, "", ""}); err != nil {
		return "", err
	}
	rows.Flush()
	return b.String(), rows.Error()
}

// packed is the time stamp of everything that this package packs: a constant,
// so that the same package has the same digest wherever and whenever it is built.
func packed() time.Time { return time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC) }

func zipOf(files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: packed()}
		header.SetMode(0o644)
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return nil, fmt.Errorf("add %q: %w", name, err)
		}
		if _, err := entry.Write([]byte(files[name])); err != nil {
			return nil, fmt.Errorf("add %q: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
