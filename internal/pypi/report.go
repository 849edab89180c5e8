package pypi

import (
	"encoding/json"
	"fmt"
)

// Report is the JSON that `pip install --report` writes (installation report).
type Report struct {
	// Version is "1", or "0" from pip 22.2 and 22.3, which has the same shape.
	Version    string       `json:"version"`
	PipVersion string       `json:"pip_version"`
	Install    []ReportItem `json:"install"`
	// Environment are the marker variables that the installer used.
	Environment map[string]string `json:"environment"`

	// first are the first entries of each project, by its normalised name; nil in a
	// report that was not parsed.
	first map[string]int
}

// ReportItem is one distribution that was, or would be, installed.
type ReportItem struct {
	DownloadInfo DirectURL `json:"download_info"`
	// IsDirect is true for a requirement with a URL or path.
	IsDirect bool `json:"is_direct"`
	IsYanked bool `json:"is_yanked"`
	// Requested is true for what the user named, false for a dependency.
	Requested       bool     `json:"requested"`
	RequestedExtras []string `json:"requested_extras"`
	Metadata        struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"metadata"`
}

// ParseReport reads an installation report.
func ParseReport(data []byte) (Report, error) {
	var r Report
	if len(data) > maxReportSize {
		return r, fmt.Errorf("parse installation report: %d bytes, want at most %d", len(data), maxReportSize)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("parse installation report: %w", err)
	}
	if r.Version != "0" && r.Version != "1" {
		return r, fmt.Errorf("parse installation report: version %q, want \"1\"", r.Version)
	}
	r.first = map[string]int{}
	for i, item := range r.Install {
		if item.Metadata.Name == "" || item.Metadata.Version == "" {
			return r, fmt.Errorf("parse installation report: install[%d]: no name or version", i)
		}
		key := Normalize(item.Metadata.Name)
		if _, again := r.first[key]; !again {
			r.first[key] = i
		}
	}
	return r, nil
}

// Find returns the report's entry of a project, nil when it has none.
func (r *Report) Find(name string) *ReportItem {
	if r == nil {
		return nil
	}
	key := Normalize(name)
	if r.first != nil {
		if i, ok := r.first[key]; ok {
			return &r.Install[i]
		}
		return nil
	}
	for i := range r.Install {
		if Normalize(r.Install[i].Metadata.Name) == key {
			return &r.Install[i]
		}
	}
	return nil
}
