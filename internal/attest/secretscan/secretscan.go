// Package secretscan attests which secrets the files that a step installed
// carry, by the rules of gitleaks. It scans nothing else: not the interpreter,
// not what pip-witness itself wrote. A secret leaves this package only as a
// digest.
package secretscan

import (
	"context"
	"fmt"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/pypi"
)

// Type is the attestation type URI.
const Type = "https://witness.dev/attestations/secretscan/v0.1"

// Bounds of a scan. They are stated in the predicate, and so is what they cut.
const (
	maxFileSize  = 16 << 20  // bytes of one file: 16 MiB
	maxTotalSize = 512 << 20 // bytes of all files: 512 MiB
	maxFindings  = 10_000
	decodeDepth  = 1 // passes of decoding
)

// Predicate is the secretscan/v0.1 predicate. Everything beside Findings is ours.
type Predicate struct {
	// Findings are sorted by location, line, rule and digest. Empty when none
	// was found in what was scanned.
	Findings []Finding `json:"findings"`
	// Engine names the rules: "gitleaks v8.30.1".
	Engine string `json:"engine"`
	// Scanned counts the files that were read to their end.
	Scanned Count `json:"scanned"`
	// InArchives counts the members of archives that were read to their end.
	InArchives Count `json:"inArchives"`
	// Bytecode counts the .pyc files, which repeat their sources and are not scanned.
	Bytecode Count `json:"bytecode"`
	// NotScanned are the installed files that were not scanned, or not to their
	// end, with the reason, sorted by path; so are members of archives, as
	// "ARCHIVE!MEMBER". Empty when all were.
	NotScanned []evidence.UnreadPath `json:"notScanned"`
	Limits     Limits                `json:"limits"`
}

// Count is a number of files and their size.
type Count struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Limits are the bounds of the scan.
type Limits struct {
	MaxFileBytes  int64 `json:"maxFileBytes"`
	MaxTotalBytes int64 `json:"maxTotalBytes"`
	MaxFindings   int   `json:"maxFindings"`
	// DecodeDepth is how often encoded text (base64, hexadecimal, percent, \u) is
	// decoded and looked at again.
	DecodeDepth int `json:"decodeDepth"`
	// MaxArchiveDepth is how many archives lie in each other, MaxArchiveMembers the
	// members of one, MaxUnpackedBytes what is unpacked of all of them.
	MaxArchiveDepth   int   `json:"maxArchiveDepth"`
	MaxArchiveMembers int   `json:"maxArchiveMembers"`
	MaxUnpackedBytes  int64 `json:"maxUnpackedBytes"`
}

// Finding is one secret in one place.
type Finding struct {
	// RuleID and Description are gitleaks'.
	RuleID      string `json:"ruleId"`
	Description string `json:"description"`
	// Location is the absolute path of the file inside the sandbox, with "!MEMBER"
	// for each archive that it lies in ("!" alone: what a compressed file holds);
	// StartLine the line on which the match begins, from 1.
	Location  string `json:"location"`
	StartLine int    `json:"startLine"`
	// Distribution is the normalised name of the one that records the file; absent
	// when none does, or more than one.
	Distribution string `json:"distribution,omitempty"`
	// Secret is the sha256 of the secret; the secret itself is nowhere.
	Secret evidence.DigestSet `json:"secret"`
	// Match is what stands before the secret in the match, at most 64 bytes of
	// it, and "<redacted>".
	Match string `json:"match"`
	// Entropy is Shannon's, in bits per character.
	Entropy float32 `json:"entropy"`
	// EncodingPath are the encodings that were undone to find it: "base64",
	// "hex", "percent", "unicode". Absent when it stands there plainly.
	EncodingPath []string `json:"encodingPath,omitempty"`
	// LocationApproximate is true for a decoded finding: the line is that of the
	// encoded text.
	LocationApproximate bool `json:"locationApproximate"`
	// Class is "specific" or "generic".
	Class Class `json:"class"`
}

// Attestor returns the catalogue entry. Its predicate is a *[Predicate]; the
// error is [attest.ErrNoTree] where a tree is missing.
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "secretscan", Type: Type, Run: run}
}

func run(ctx context.Context, in *attest.Input) (any, error) {
	if in.Before == nil || in.After == nil {
		return nil, attest.ErrNoTree
	}
	out := &Predicate{
		Findings: []Finding{}, Engine: engine(), NotScanned: []evidence.UnreadPath{},
		Limits: Limits{
			MaxFileBytes: maxFileSize, MaxTotalBytes: maxTotalSize, MaxFindings: maxFindings, DecodeDepth: decodeDepth,
			MaxArchiveDepth: maxArchiveDepth, MaxArchiveMembers: maxArchiveMembers, MaxUnpackedBytes: maxUnpacked,
		},
	}
	files := out.plan(in)
	if len(files) > 0 {
		s, err := newScanner()
		if err != nil {
			return nil, err
		}
		if err := out.scan(ctx, s, in.Layout, in.After, files); err != nil {
			return nil, fmt.Errorf("scan %d installed files: %w", len(files), err)
		}
	}
	out.sort()
	out.owners(in.Layout)
	return out, nil
}

// owners names the distributions of the findings. An environment that cannot be
// read has none: the pip-install attestor says why.
func (p *Predicate) owners(layout attest.Layout) {
	if len(p.Findings) == 0 {
		return
	}
	environment, err := pypi.Installed(layout)
	if err != nil {
		return
	}
	owners := make(map[string]string)
	for _, d := range environment.Distributions {
		for _, entry := range d.Record {
			file := path.Clean(entry.Path)
			if !path.IsAbs(file) {
				file = path.Join(d.Location, file)
			}
			if other, ok := owners[file]; ok && other != d.Key {
				owners[file] = ""
				continue
			}
			owners[file] = d.Key
		}
	}
	for i := range p.Findings {
		file, _, _ := strings.Cut(p.Findings[i].Location, separator)
		p.Findings[i].Distribution = owners[file]
		if owner, ok := owners[p.Findings[i].Location]; ok { // a file may have the separator in its name
			p.Findings[i].Distribution = owner
		}
	}
}

// plan returns the installed files that are to be scanned, and notes the others.
func (p *Predicate) plan(in *attest.Input) []string {
	var files []string
	var total int64
	for _, f := range evidence.ChangedFiles(in.Before, in.After) {
		if !installed(in.Layout, f) {
			continue
		}
		size := in.After.Files[f].Size
		_, encoded := slices.BinarySearch(in.After.Encoded, f)
		switch {
		case path.Ext(f) == ".pyc":
			p.Bytecode.Files++
			p.Bytecode.Bytes += size
		case encoded:
			p.skip(f, "its name is not UTF-8")
		case size > maxFileSize:
			p.skip(f, fmt.Sprintf("%d bytes, more than %d", size, maxFileSize))
		case total+size > maxTotalSize:
			p.skip(f, fmt.Sprintf("the scan reached its limit of %d bytes", maxTotalSize))
		default:
			total += size
			files = append(files, f)
		}
	}
	return files
}

func (p *Predicate) skip(file, reason string) {
	p.NotScanned = append(p.NotScanned, evidence.UnreadPath{Path: file, Reason: reason})
}

// installed says that a file lies in the environment.
func installed(l attest.Layout, file string) bool {
	for _, dir := range append([]string{l.Prefix}, l.SitePackages...) {
		if dir != "" && strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/") {
			return true
		}
	}
	return false
}

// engine names gitleaks with the version that is linked in, as far as the
// program knows what it was built from.
func engine() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if strings.HasSuffix(m.Path, "/gitleaks/v8") {
				return "gitleaks " + m.Version
			}
		}
	}
	return "gitleaks v8"
}
