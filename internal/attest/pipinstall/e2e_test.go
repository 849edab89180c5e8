package pipinstall_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/internal/attest/pipinstall"
	"pip-witness/internal/attest/sbom"
	"pip-witness/internal/pypi"
)

// TestE2EIndexPackages installs well-known packages from the configured index and
// compares everything with the installer's own listing, with packaging and with
// strict validators. It needs the index: PIP_WITNESS_E2E=1.
func TestE2EIndexPackages(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") != "1" {
		t.Skip("needs the package index: set PIP_WITNESS_E2E=1")
	}
	for name, test := range map[string]struct {
		args    []string
		imports map[string]string // project → its import names, joined by spaces
	}{
		"requests":  {[]string{"requests[socks]"}, map[string]string{"requests": "requests", "pysocks": "socks sockshandler", "charset-normalizer": "charset_normalizer"}},
		"flask":     {[]string{"flask"}, map[string]string{"flask": "flask", "jinja2": "jinja2", "markupsafe": "markupsafe"}},
		"pandas":    {[]string{"pandas"}, map[string]string{"pandas": "pandas", "numpy": "numpy", "python-dateutil": "dateutil", "six": "six"}},
		"names":     {[]string{"pyyaml", "pillow", "opencv-python-headless", "setuptools<80", "attrs", "cffi", "googleapis-common-protos", "protobuf"}, map[string]string{"pyyaml": "yaml _yaml", "pillow": "PIL", "opencv-python-headless": "cv2", "setuptools": "setuptools pkg_resources _distutils_hack", "attrs": "attrs attr", "cffi": "cffi _cffi_backend"}},
		"namespace": {[]string{"google-cloud-storage", "zope.interface"}, map[string]string{"google-cloud-storage": "google.cloud.storage google.cloud._storage google.cloud._storage_v2", "zope-interface": "zope.interface", "google-api-core": "google.api_core"}},
		"sdist":     {[]string{"--no-binary", "markupsafe", "markupsafe", "fastapi[standard]"}, map[string]string{"markupsafe": "markupsafe", "fastapi": "fastapi"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := install(t, test.args...)
			got := run[pipinstall.Predicate](t, pipinstall.Attestor(), e.input)
			e.compareInspect(t, got)
			e.compareEdges(t)
			e.strictDocuments(t)
			for _, p := range got.Packages {
				if want, ok := test.imports[pypi.Normalize(p.Name)]; ok && strings.Join(p.ImportNames, " ") != want {
					t.Errorf("%s imports %q, want %q", p.Name, p.ImportNames, want)
				}
				t.Logf("%s %s %s imports %q licence %q", p.Name, p.Version, p.InstallType, p.ImportNames, p.License)
			}
			if len(got.Problems)+len(got.MissingRequirements) > 0 {
				t.Errorf("problems %q, missing %q", got.Problems, got.MissingRequirements)
			}
			e.compareDigests(t)
			f := got.InstalledFileAnalysis
			t.Logf("%d files, %d .py; hooks %d, process %q, network %d, pickles %d, pth %+v, unowned %q", f.TotalFiles, f.TotalPyFiles,
				len(f.SuspiciousImports), f.SubprocessInInit, len(f.NetworkInInit), len(f.PickleFiles), f.PthFiles, f.UnownedFiles)
			for _, p := range f.PickleAnalysis {
				t.Logf("pickle %+v", p)
			}
		})
	}
}

// compareDigests compares the hashes of the SBOM with the digests by which the
// installer fetched the files.
func (e environment) compareDigests(t *testing.T) {
	t.Helper()
	report, err := pypi.ParseReport(e.input.Install.Report)
	if err != nil {
		t.Fatal(err)
	}
	want, have := map[string]string{}, map[string]string{}
	for _, item := range report.Install {
		want[pypi.Normalize(item.Metadata.Name)] = item.DownloadInfo.SHA256()
	}
	for _, c := range run[document](t, sbom.Attestor(), e.input).Components {
		for _, h := range c.Hashes {
			have[pypi.Normalize(c.Name)] = h.Content
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("digests (-installer +sbom):\n%s", diff)
	}
}
