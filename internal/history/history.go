// Package history says what an index's page of a project tells about one of its
// releases: how old project and release are, what was released around the same
// time, whether its version fits those before it. It computes on the page that the
// installer asked for anyway; facts, not verdicts.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pip-witness/evidence"
	"pip-witness/internal/pypi"
)

// Limits and thresholds.
const (
	burstWindow  = 24 * time.Hour
	burstHour    = time.Hour
	dormantAfter = 2 * 365 * 24 * time.Hour
	jumpMajor    = 10   // first numbers between two releases that are worth a word
	highMajor    = 90   // the first number of a first release that is worth a word
	firstYear    = 1990 // a first number from here on is a year
	maxBurst     = 50   // versions listed
	earlier      = 3    // releases that a release is compared with
)

// Facts are about one release of one project on one index. Times are RFC 3339 in
// UTC; what the index does not offer is in NotOffered and empty elsewhere.
type Facts struct {
	Package string `json:"package"`
	Version string `json:"version"`
	Index   string `json:"index"`
	// Format is json, html or local, APIVersion that of the simple repository API.
	Format     string `json:"format"`
	APIVersion string `json:"apiVersion,omitempty"`
	// ProjectStatus and ProjectStatusReason are of PEP 792: active, archived,
	// quarantined, deprecated.
	ProjectStatus       string `json:"projectStatus,omitempty"`
	ProjectStatusReason string `json:"projectStatusReason,omitempty"`
	// Releases and Files are how many the index lists, less what the predicate's
	// notExamined says was cut; UnreadableNames how many
	// files have a name that states no version, and count as no release.
	Releases        int `json:"releases"`
	Files           int `json:"files"`
	UnreadableNames int `json:"unreadableNames,omitempty"`
	// First and Latest are the releases that were uploaded first and last, This is
	// the one that was installed; a release's time is that of its first file.
	First  *Release `json:"first,omitempty"`
	This   *Release `json:"this,omitempty"`
	Latest *Release `json:"latest,omitempty"`
	// AgeSeconds is how old this release was when it was installed, ProjectAgeSeconds
	// the first one; absent when there is no time.
	AgeSeconds        *int64 `json:"ageSeconds,omitempty"`
	ProjectAgeSeconds *int64 `json:"projectAgeSeconds,omitempty"`
	// Burst are the other versions released within 24 hours of this one, oldest
	// first; BurstReleases is how many there are, also beyond the first 50.
	Burst         []string `json:"burst,omitempty"`
	BurstReleases int      `json:"burstReleases"`
	// BurstHour are those of the same series (the first two numbers) within an hour.
	BurstHour []string `json:"burstHour,omitempty"`
	// Anomalies are what does not fit the releases before this one.
	Anomalies []Anomaly `json:"anomalies,omitempty"`
	// NotOffered is what the index does not offer for this project.
	NotOffered []string `json:"notOffered,omitempty"`
}

// Release is one version of a project.
type Release struct {
	Version string `json:"version"`
	// Time is that of its first file; empty when the index gives none.
	Time string `json:"time,omitempty"`
	// Files is how many files it has; 0 when the index lists the version alone.
	Files int `json:"files"`
	// Yanked is how many of them are yanked, Provenance how many have a provenance
	// object.
	Yanked     int `json:"yanked"`
	Provenance int `json:"provenance"`
}

// AnomalyKind is a way in which a version does not fit.
type AnomalyKind string

// Kinds of anomalies.
const (
	Jump      AnomalyKind = "jump"       // far above every release before it
	HighFirst AnomalyKind = "high-first" // the first release has a high number
	Dormant   AnomalyKind = "dormant"    // the release before it is two years older
	Lower     AnomalyKind = "lower"      // below a release that was uploaded before it
)

// Anomaly is one of them, in words.
type Anomaly struct {
	Kind AnomalyKind `json:"kind"`
	Text string      `json:"text"`
}

// release is a version with its files.
type release struct {
	version pypi.Version
	time    time.Time // zero when not known
	files   []evidence.IndexFile
}

// Of computes the facts of a version that was installed at a time.
func Of(p evidence.IndexProject, version string, at time.Time) Facts {
	f := Facts{
		Package: p.Name, Version: version, Index: p.Index, Format: p.Format, APIVersion: p.APIVersion,
		ProjectStatus: p.Status, ProjectStatusReason: p.StatusReason, Files: len(p.Files), NotOffered: notOffered(p),
	}
	releases, unreadable := group(p)
	f.Releases, f.UnreadableNames = len(releases), unreadable
	this := find(releases, version)
	timed := slices.DeleteFunc(slices.Clone(releases), func(r *release) bool { return r.time.IsZero() })
	slices.SortStableFunc(timed, func(a, b *release) int { return a.time.Compare(b.time) })
	if len(timed) > 0 {
		f.First, f.Latest = timed[0].describe(), timed[len(timed)-1].describe()
		f.ProjectAgeSeconds = age(timed[0].time, at)
	}
	if this == nil {
		return f
	}
	f.This = this.describe()
	if !this.time.IsZero() {
		f.AgeSeconds = age(this.time, at)
		for _, r := range timed {
			if r != this && r.time.Sub(this.time).Abs() < burstWindow {
				if f.BurstReleases++; len(f.Burst) < maxBurst {
					f.Burst = append(f.Burst, r.version.String())
				}
				if r.time.Sub(this.time).Abs() <= burstHour && series(r.version) == series(this.version) && len(f.BurstHour) < maxBurst {
					f.BurstHour = append(f.BurstHour, r.version.String())
				}
			}
		}
	}
	f.Anomalies = anomalies(this, before(releases, this), len(releases))
	return f
}

// Earlier are the files by which a release is compared with those before it: of
// each of the last three that have files the one that is most like filename, one
// with a provenance object before one without.
func Earlier(p evidence.IndexProject, version, filename string) []evidence.IndexFile {
	releases, _ := group(p)
	this := find(releases, version)
	if this == nil {
		return nil
	}
	_, _, wheel, _ := pypi.FileIdentity(filename)
	likeness := func(f evidence.IndexFile) int {
		n := 0
		if f.Provenance != "" {
			n += 2
		}
		if _, _, w, _ := pypi.FileIdentity(f.Filename); w == wheel {
			n++
		}
		return n
	}
	var files []evidence.IndexFile
	for _, r := range before(releases, this) {
		if len(r.files) > 0 && len(files) < earlier {
			files = append(files, slices.MaxFunc(r.files, func(a, b evidence.IndexFile) int { return cmp.Compare(likeness(a), likeness(b)) }))
		}
	}
	return files
}

// group makes releases of the files and of the versions that the index lists
// without one, in the page's order.
func group(p evidence.IndexProject) (releases []*release, unreadable int) {
	byVersion := map[string]*release{}
	of := func(v pypi.Version) *release {
		r := byVersion[key(v)]
		if r == nil {
			r = &release{version: v}
			byVersion[key(v)] = r
			releases = append(releases, r)
		}
		return r
	}
	for _, f := range p.Files {
		name, v, _, ok := pypi.FileIdentity(f.Filename)
		if !ok || name != p.Name {
			unreadable++
			continue
		}
		r := of(v)
		r.files = append(r.files, f)
		if t, err := time.Parse(time.RFC3339Nano, f.UploadTime); err == nil && (r.time.IsZero() || t.Before(r.time)) {
			r.time = t.UTC()
		}
	}
	for _, text := range p.Versions {
		if v, err := pypi.ParseVersion(text); err == nil {
			of(v)
		}
	}
	return releases, unreadable
}

// key is the same for versions that are equal: zeros at the end of the release
// part mean nothing. Comparing them all would take seconds on the largest pages.
func key(v pypi.Version) string {
	text := v.String()
	epoch, rest, ok := strings.Cut(text, "!")
	if ok {
		epoch += "!"
	} else {
		epoch, rest = "", text
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(rest)
	}
	numbers, suffix := strings.TrimSuffix(rest[:end], "."), rest[end:]
	if end > 0 && rest[end-1] == '.' {
		suffix = "." + suffix
	}
	for strings.HasSuffix(numbers, ".0") {
		numbers = strings.TrimSuffix(numbers, ".0")
	}
	return epoch + numbers + suffix
}

func find(releases []*release, version string) *release {
	v, err := pypi.ParseVersion(version)
	if err != nil {
		return nil
	}
	at := slices.IndexFunc(releases, func(r *release) bool { return key(r.version) == key(v) })
	if at < 0 {
		return nil
	}
	return releases[at]
}

// before are the releases before this one, the nearest first: those uploaded
// before it, then those without a time whose version is lower. When this one has
// no time the version decides alone.
func before(releases []*release, this *release) []*release {
	var timed, lower []*release
	for _, r := range releases {
		switch {
		case r == this:
		case !r.time.IsZero() && !this.time.IsZero():
			if r.time.Before(this.time) {
				timed = append(timed, r)
			}
		case r.version.Compare(this.version) < 0:
			lower = append(lower, r)
		}
	}
	slices.SortStableFunc(timed, func(a, b *release) int { return b.time.Compare(a.time) })
	slices.SortStableFunc(lower, func(a, b *release) int { return b.version.Compare(a.version) })
	return append(timed, lower...)
}

// anomalies compares a release with those before it.
func anomalies(this *release, before []*release, all int) []Anomaly {
	var out []Anomaly
	add := func(kind AnomalyKind, format string, args ...any) {
		out = append(out, Anomaly{kind, fmt.Sprintf(format, args...)})
	}
	number := major(this.version)
	if len(before) == 0 {
		if all == 1 && number >= highMajor && number < firstYear {
			add(HighFirst, "%s is the only release of the project", this.version)
		}
		return out
	}
	highest := slices.MaxFunc(before, func(a, b *release) int { return a.version.Compare(b.version) })
	if last := major(highest.version); number >= last+jumpMajor && number < firstYear {
		add(Jump, "%s follows %s", this.version, highest.version)
	}
	if !this.time.IsZero() {
		if last := before[0]; !last.time.IsZero() && this.time.Sub(last.time) >= dormantAfter {
			add(Dormant, "%s came %d days after %s", this.version, int(this.time.Sub(last.time).Hours()/24), last.version)
		}
		if highest.version.Compare(this.version) > 0 {
			add(Lower, "%s was uploaded after %s", this.version, highest.version)
		}
	}
	return out
}

// series is the first two numbers of a version: security releases of several
// series on one day are ordinary.
func series(v pypi.Version) string {
	first, rest, _ := strings.Cut(v.Public(), ".")
	second, _, _ := strings.Cut(rest, ".")
	return first + "." + second
}

// major is the first number of a version's release part.
func major(v pypi.Version) int {
	text := v.Public()
	if _, rest, ok := strings.Cut(text, "!"); ok {
		text = rest
	}
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(text)
	}
	n, err := strconv.Atoi(text[:end])
	if err != nil {
		return 1 << 30 // a number too large for an int is none that follows another
	}
	return n
}

func (r *release) describe() *Release {
	out := &Release{Version: r.version.String(), Files: len(r.files)}
	if !r.time.IsZero() {
		out.Time = r.time.Format(time.RFC3339)
	}
	for _, f := range r.files {
		if f.Yanked != "" {
			out.Yanked++
		}
		if f.Provenance != "" {
			out.Provenance++
		}
	}
	return out
}

// age is never negative: clocks differ.
func age(from, at time.Time) *int64 {
	seconds := max(0, int64(at.Sub(from).Seconds()))
	return &seconds
}

// notOffered names what no file of the page has. Owners are in no version of the
// simple repository API.
func notOffered(p evidence.IndexProject) []string {
	var out []string
	none := func(name string, has func(f evidence.IndexFile) bool) {
		if !slices.ContainsFunc(p.Files, has) {
			out = append(out, name)
		}
	}
	none("provenance", func(f evidence.IndexFile) bool { return f.Provenance != "" })
	none("size", func(f evidence.IndexFile) bool { return f.Size >= 0 })
	none("upload-time", func(f evidence.IndexFile) bool { return f.UploadTime != "" })
	if p.Status == "" {
		out = append(out, "project-status")
	}
	if p.Versions == nil {
		out = append(out, "versions")
	}
	out = append(out, "owners")
	slices.Sort(out)
	return out
}
