package pypi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DirectURL is direct_url.json (PEP 610), and the download_info of an
// installer's report, which has the same shape.
type DirectURL struct {
	URL          string       `json:"url"`
	Subdirectory string       `json:"subdirectory,omitempty"`
	VCSInfo      *VCSInfo     `json:"vcs_info,omitempty"`
	ArchiveInfo  *ArchiveInfo `json:"archive_info,omitempty"`
	DirInfo      *DirInfo     `json:"dir_info,omitempty"`
}

// VCSInfo is present for a checkout.
type VCSInfo struct {
	VCS               string `json:"vcs"`
	RequestedRevision string `json:"requested_revision,omitempty"`
	CommitID          string `json:"commit_id"`
}

// ArchiveInfo is present for a file. Hash is the older "algorithm=hex" form.
type ArchiveInfo struct {
	Hash   string            `json:"hash,omitempty"`
	Hashes map[string]string `json:"hashes,omitempty"`
}

// DirInfo is present for a local directory.
type DirInfo struct {
	Editable bool `json:"editable,omitempty"`
}

// ParseDirectURL reads direct_url.json.
func ParseDirectURL(data []byte) (DirectURL, error) {
	var d DirectURL
	if len(data) > maxDirectURLSize {
		return d, fmt.Errorf("parse direct_url.json: %d bytes, want at most %d", len(data), maxDirectURLSize)
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("parse direct_url.json: %w", err)
	}
	if d.URL == "" {
		return d, fmt.Errorf("parse direct_url.json: no url")
	}
	return d, nil
}

// SHA256 returns the lower-case hex digest of the archive, "" when none is given.
func (d DirectURL) SHA256() string {
	if d.ArchiveInfo == nil {
		return ""
	}
	if s := d.ArchiveInfo.Hashes["sha256"]; s != "" {
		return strings.ToLower(s)
	}
	if s, ok := strings.CutPrefix(d.ArchiveInfo.Hash, "sha256="); ok {
		return strings.ToLower(s)
	}
	return ""
}

// EntryPoint is one line of entry_points.txt.
type EntryPoint struct{ Group, Name, Value string }

// ParseEntryPoints reads entry_points.txt, an INI file with '=' only, in
// groups sorted by name, entries in file order.
func ParseEntryPoints(data []byte) ([]EntryPoint, error) {
	if len(data) > maxMetadataSize {
		return nil, fmt.Errorf("parse entry_points.txt: %d bytes, want at most %d", len(data), maxMetadataSize)
	}
	groups := map[string][]EntryPoint{}
	group := ""
	n := 0
	for line := range strings.Lines(strings.ToValidUTF8(string(data), "\uFFFD")) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			name, ok := strings.CutSuffix(line[1:], "]")
			if !ok || name == "" {
				return nil, fmt.Errorf("parse entry_points.txt: line %d: want [group]", n)
			}
			group = name
		default:
			name, value, ok := strings.Cut(line, "=")
			if !ok || group == "" {
				return nil, fmt.Errorf("parse entry_points.txt: line %d: want name = module:object below a [group]", n)
			}
			groups[group] = append(groups[group], EntryPoint{group, strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	var out []EntryPoint
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, groups[g]...)
	}
	return out, nil
}
