package pipinstall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"pip-witness/internal/attest"
	"pip-witness/internal/pypi"
)

// WheelStructure is what the wheel itself shows, from which a distribution was
// installed. Lists are in the order of the archive.
type WheelStructure struct {
	// Members is their number, Unpacked their size in bytes as the archive says.
	Members  int    `json:"members"`
	Unpacked uint64 `json:"unpacked"`
	// RootIsPurelib is absent when WHEEL cannot be read.
	RootIsPurelib *bool `json:"rootIsPurelib,omitempty"`
	// DataFiles are the members that go elsewhere than into the site directory, as
	// "scheme/path".
	DataFiles []string `json:"dataFiles,omitempty"`
	// Defects are what is wrong with the archive; kinds: archive, local-header,
	// duplicate, folded, name, type, size, metadata, info, record, unrecorded, tags, data.
	Defects []pypi.Defect `json:"defects"`
	// Changed are installed files (absolute paths, sorted) that have another digest
	// than the RECORD in the wheel gives: changed since, or never as recorded.
	Changed []string `json:"changed"`
	// Error is why it could not be read as a wheel at all.
	Error string `json:"error,omitempty"`
}

// wheels examines the files of distributions that came as wheels and whose file
// is at hand.
func (c *collector) wheels(ctx context.Context) error {
	for i, d := range c.env.Distributions {
		if err := ctx.Err(); err != nil {
			return err
		}
		o := c.origins[i]
		if o.Kind != pypi.OriginWheel {
			continue
		}
		f, size, err := c.distributionFile(o)
		if err != nil {
			c.notExamined("packages[].wheelStructure of "+d.Key, "%v", err)
			continue
		}
		w, structure := c.readWheel(o.Filename, f, size)
		if w != nil {
			c.changedFiles(d, w, structure)
		}
		c.predicate.Packages[i].WheelStructure = structure
		f.Close()
	}
	return nil
}

// distributionFile opens the file that a distribution was installed from: the
// user's own, compared with its digest, or the one that the gateway kept.
func (c *collector) distributionFile(o pypi.Origin) (attest.DistributionFile, int64, error) {
	var f attest.DistributionFile
	switch {
	case o.Local != nil:
		root, err := openGiven(path.Dir(o.Local.SandboxPath))
		if err != nil {
			return nil, 0, fmt.Errorf("open the file: %w", err)
		}
		defer root.Close()
		local, err := pypi.OpenFile(root, path.Base(o.Local.SandboxPath))
		if err != nil {
			return nil, 0, err
		}
		if err := sameDigest(local, o.Local.Digests); err != nil {
			local.Close()
			return nil, 0, err
		}
		f = local
	case o.Download != nil && c.in.Distribution != nil:
		kept, err := c.in.Distribution(o.Digests["sha256"])
		if err != nil {
			return nil, 0, err
		}
		f = kept
	default:
		return nil, 0, errors.New("the distribution file was removed inside the sandbox: the bytes are not at hand")
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("read %q: %w", o.Filename, err)
	}
	return f, size, nil
}

// openGiven opens a directory of the user's own. What the user gave has the same
// place inside the sandbox as outside, where nothing could change it; a mount of
// the layout that covers that place (/tmp) does not show it.
func openGiven(dir string) (*os.Root, error) { return pypi.OpenDir(attest.Layout{}, dir) }

// readWheel describes a wheel; what it read is nil when that is none.
func (c *collector) readWheel(filename string, r io.ReaderAt, size int64) (*pypi.WheelFile, *WheelStructure) {
	out := &WheelStructure{Defects: []pypi.Defect{}, Changed: []string{}}
	w, err := pypi.InspectWheel(filename, r, size)
	if err != nil {
		out.Error = clip(err.Error())
		return nil, out
	}
	out.Members, out.Unpacked = w.Members, w.Unpacked
	if w.Wheel != nil {
		out.RootIsPurelib = &w.Wheel.RootIsPurelib
	}
	out.DataFiles = cut(c, "wheelStructure.dataFiles of "+w.Name, w.Data)
	for i, name := range out.DataFiles {
		out.DataFiles[i] = clip(name)
	}
	out.Defects = append(out.Defects, w.Defects...)
	if w.DefectsCut {
		c.notExamined("wheelStructure.defects of "+w.Name, "more than %d defects", len(w.Defects))
	}
	return w, out
}

// changedFiles compares the RECORD in the wheel with the installed tree. The
// installer rewrites the first line of scripts, so these are not compared, and
// moves other data to where only it knows.
func (c *collector) changedFiles(d pypi.Distribution, w *pypi.WheelFile, out *WheelStructure) {
	if c.in.After == nil {
		return // said in recordChecks
	}
	for _, e := range w.Record {
		if e.Algorithm != "sha256" || pypi.EscapesRoot(e.Path) != "" {
			continue
		}
		rel := path.Clean(e.Path)
		if top, rest, _ := strings.Cut(rel, "/"); strings.HasSuffix(top, ".data") {
			scheme, below, _ := strings.Cut(rest, "/")
			if scheme != "purelib" && scheme != "platlib" {
				continue
			}
			rel = below
		}
		full := path.Join(d.Location, rel)
		if s, ok := c.in.After.Files[follow(c.in.After, full)]; ok && s.Digests["sha256"] != "" && s.Digests["sha256"] != e.Digest {
			out.Changed = append(out.Changed, clip(full))
		}
	}
	slices.Sort(out.Changed)
	out.Changed = cut(c, "wheelStructure.changed of "+d.Key, out.Changed)
}
