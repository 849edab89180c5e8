package testpkg

import (
	"slices"
	"strings"
)

// Stage is where a faulty package fails.
type Stage string

// The stages at which a package can fail.
const (
	StageInstall Stage = "install" // the installer refuses it
	StageBuild   Stage = "build"   // its wheel cannot be built
	StageImport  Stage = "import"  // it installs, and does not import
	StageNone    Stage = "none"    // installers do not notice
)

// Fault is a broken package. It attacks nothing.
type Fault struct {
	Package
	// Stage is where it fails with pip.
	Stage Stage
}

// Faulty returns the broken packages.
func Faulty() []Fault {
	return slices.Concat(brokenWheels(), brokenImports(), brokenSdists())
}

func brokenImports() []Fault {
	importing := func(name, doc, source string) Fault {
		mod := escapeName(name)
		w := Wheel{Name: name, Version: version, Files: module(mod, source)}
		return Fault{Package: wheelPackage(doc, w, mod), Stage: StageImport}
	}
	partial := wheelPackage("a wheel with two modules, one of which raises when imported",
		Wheel{
			Name: "testpkg-import-partly-fails", Version: version,
			Files: map[string]string{
				"testpkg_partly_bad.py":  "raise ImportError('this import fails on purpose')\n",
				"testpkg_partly_good.py": "ANSWER = 42\n",
			},
		}, "testpkg_partly_bad", "testpkg_partly_good")
	return []Fault{
		importing("testpkg-import-fails", "a wheel whose import raises",
			"raise RuntimeError('this import fails on purpose')\n"),
		{Package: partial, Stage: StageImport},
		importing("testpkg-import-hangs", "a wheel whose import sleeps for an hour",
			"import time\n\ntime.sleep(3600)\n"),
		importing("testpkg-import-kills", "a wheel whose import kills its own process",
			"import os\nimport signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n"),
		importing("testpkg-import-exits", "a wheel whose import ends the interpreter with status 0",
			"import os\n\nos._exit(0)\n"),
	}
}

func brokenWheels() []Fault {
	named := func(name string) Wheel {
		return Wheel{Name: name, Version: version, Files: module(escapeName(name), "ANSWER = 42\n")}
	}
	truncated := wheelPackage("a wheel whose archive ends in the middle",
		named("testpkg-truncated"), "testpkg_truncated")
	truncated.Archive = half{truncated.Archive}
	wrongDigest := named("testpkg-record-wrong")
	wrongDigest.Record = func(record string) string {
		_, rest, _ := strings.Cut(record, "sha256=")
		digest, _, _ := strings.Cut(rest, ",")
		return strings.Replace(record, digest, strings.Repeat("A", len(digest)), 1)
	}
	noRecord := named("testpkg-record-missing")
	noRecord.Record = func(string) string { return "" }
	mismatch := named("testpkg-name-mismatch")
	mismatch.DistInfo = "another_name-1.0"
	escaping := named("testpkg-escaping")
	escaping.Files["../../testpkg_escaped.py"] = "ANSWER = 42\n"

	return []Fault{
		{Package: truncated, Stage: StageInstall},
		{Package: wheelPackage("a wheel whose RECORD has a wrong digest", wrongDigest,
			"testpkg_record_wrong"), Stage: StageNone},
		{Package: wheelPackage("a wheel without RECORD", noRecord,
			"testpkg_record_missing"), Stage: StageInstall},
		{Package: wheelPackage("a wheel whose dist-info directory is another project's", mismatch,
			"testpkg_name_mismatch"), Stage: StageInstall},
		{Package: wheelPackage("a wheel with a member whose path leaves site-packages", escaping,
			"testpkg_escaping"), Stage: StageInstall},
	}
}

func brokenSdists() []Fault {
	building := func(name, doc, hook string) Fault {
		mod := escapeName(name)
		w := Wheel{Name: name, Version: version, Files: module(mod, "")}
		return Fault{Package: inTreePackage(doc, InTree{Wheel: w, Hook: hook}, mod), Stage: StageBuild}
	}
	noArchive := Package{
		Name: "testpkg-no-archive", Version: version, Kind: KindSdist,
		Doc:     "a file with an sdist's name that is no archive",
		Archive: garbage{Sdist{Name: "testpkg-no-archive", Version: version}},
	}
	return []Fault{
		building("testpkg-build-fails", "an sdist whose build raises",
			"raise RuntimeError('this build fails on purpose')\n"),
		building("testpkg-build-hangs", "an sdist whose build sleeps for an hour",
			"import time\n\ntime.sleep(3600)\n"),
		{Package: noArchive, Stage: StageInstall},
	}
}

// half is the first half of an archive, under its name.
type half struct{ Archive }

// Bytes returns the first half of the archive.
func (h half) Bytes() ([]byte, error) {
	content, err := h.Archive.Bytes()
	return content[:len(content)/2], err
}

// garbage has an archive's name and is none.
type garbage struct{ Archive }

// Bytes returns a line of text.
func (garbage) Bytes() ([]byte, error) { return []byte("not an archive\n"), nil }
