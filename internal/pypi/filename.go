package pypi

import (
	"fmt"
	"slices"
	"strings"
)

// WheelName is a parsed wheel file name (binary distribution format, file name
// convention).
type WheelName struct {
	// Name is the normalised project name, Version its version.
	Name    string
	Version Version
	// Build is the build tag, "" when the name has none.
	Build string
	// Pythons, ABIs and Platforms are the compressed tag sets, in the order written.
	Pythons, ABIs, Platforms []string
}

// ParseWheelName reads a wheel file name without directories.
func ParseWheelName(filename string) (WheelName, error) {
	bad := func(why string) (WheelName, error) {
		return WheelName{}, fmt.Errorf("parse wheel file name %q: %s", filename, why)
	}
	stem, ok := strings.CutSuffix(filename, ".whl")
	if len(filename) > maxNameLen || !ok {
		return bad("want a name that ends in .whl")
	}
	parts := strings.Split(stem, "-")
	if len(parts) != 5 && len(parts) != 6 {
		return bad(fmt.Sprintf("%d parts, want name-version[-build]-python-abi-platform.whl", len(parts)))
	}
	if strings.Contains(parts[0], "__") || !wheelNameChars(parts[0]) {
		return bad("not an escaped project name")
	}
	version, err := ParseVersion(parts[1])
	if err != nil {
		return bad(fmt.Sprintf("%q is not a version of PEP 440", parts[1]))
	}
	out := WheelName{Name: Normalize(parts[0]), Version: version}
	if len(parts) == 6 {
		if out.Build = parts[2]; out.Build == "" || out.Build[0] < '0' || out.Build[0] > '9' {
			return bad("a build tag starts with a digit")
		}
	}
	tags := parts[len(parts)-3:]
	out.Pythons, out.ABIs, out.Platforms = strings.Split(tags[0], "."), strings.Split(tags[1], "."), strings.Split(tags[2], ".")
	for _, set := range [][]string{out.Pythons, out.ABIs, out.Platforms} {
		if slices.Contains(set, "") {
			return bad("empty tag")
		}
	}
	return out, nil
}

func wheelNameChars(name string) bool {
	if name == "" {
		return false
	}
	for _, r := range name {
		if r != '_' && r != '.' && (r > 127 || !isAlnum(byte(r))) {
			return false
		}
	}
	return true
}

// SdistName is a parsed source distribution file name.
type SdistName struct {
	// Name is the normalised project name, Version its version.
	Name    string
	Version Version
	// Extension is ".tar.gz", ".zip", ".tar.bz2" or ".tar.xz"; the last two are
	// no longer standard, and still built by installers.
	Extension string
}

// ParseSdistName reads a source distribution file name without directories.
// The version is what follows the last '-' that leaves a valid version.
func ParseSdistName(filename string) (SdistName, error) {
	bad := func(why string) (SdistName, error) {
		return SdistName{}, fmt.Errorf("parse sdist file name %q: %s", filename, why)
	}
	if len(filename) > maxNameLen {
		return bad(fmt.Sprintf("longer than %d bytes", maxNameLen))
	}
	ext := sdistExtension(filename)
	if ext == "" {
		return bad("want a name that ends in .tar.gz or .zip")
	}
	stem := strings.TrimSuffix(filename, ext)
	i := strings.LastIndexByte(stem, '-')
	if i <= 0 || !ValidName(stem[:i]) {
		return bad("want name-version" + ext)
	}
	version, err := ParseVersion(stem[i+1:])
	if err != nil {
		return bad(fmt.Sprintf("%q is not a version of PEP 440", stem[i+1:]))
	}
	return SdistName{Name: Normalize(stem[:i]), Version: version, Extension: ext}, nil
}

func sdistExtension(filename string) string {
	for _, ext := range []string{".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz"} {
		if strings.HasSuffix(filename, ext) {
			return ext
		}
	}
	return ""
}

// FileIdentity returns the normalised name and the version that a wheel or
// sdist file name states; ok is false when it is neither.
func FileIdentity(filename string) (name string, version Version, wheel, ok bool) {
	if w, err := ParseWheelName(filename); err == nil {
		return w.Name, w.Version, true, true
	}
	if s, err := ParseSdistName(filename); err == nil {
		return s.Name, s.Version, false, true
	}
	return "", Version{}, false, false
}
