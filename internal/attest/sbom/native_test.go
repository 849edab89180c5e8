package sbom

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// sharedLibrary links a shared library of one function.
func sharedLibrary(t *testing.T, file, soname string, arguments ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc")
	}
	source := filepath.Join(t.TempDir(), "f.c")
	if err := os.WriteFile(source, fmt.Appendf(nil, "int f_%x(void) { return 1; }\n", soname), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-shared", "-fPIC", "-nostdlib", "-o", file, source}, arguments...)
	if soname != "" {
		args = append(args, "-Wl,-soname,"+soname)
	}
	if out, err := exec.CommandContext(t.Context(), "gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLibraries(t *testing.T) {
	in := input(t)
	site := in.Layout.Mounts[0].Outside
	libs := filepath.Join(site, "app.libs")
	if err := os.MkdirAll(libs, 0o755); err != nil {
		t.Fatal(err)
	}
	first := sharedLibrary(t, filepath.Join(libs, "libfirst-0123abcd.so.1.2.3"), "libfirst-0123abcd.so.1.2.3")
	second := sharedLibrary(t, filepath.Join(libs, "libsecond-0123abcd-89abcdef.so"), "libsecond-0123abcd-89abcdef.so", "-Wl,--no-as-needed", filepath.Join(libs, "libfirst-0123abcd.so.1.2.3"))
	sharedLibrary(t, filepath.Join(site, "libplain.so"), "")
	sharedLibrary(t, filepath.Join(site, "_speed.cpython-311-x86_64-linux-gnu.so"), "speed.so")
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(site, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("app.libs/libbroken.so.1", "\x7fELF and no more")
	if err := os.Symlink("/etc/passwd", filepath.Join(libs, "libout.so")); err != nil {
		t.Fatal(err)
	}
	write("app-1.dist-info/RECORD", strings.Join([]string{
		"app.libs/libfirst-0123abcd.so.1.2.3,,", "app.libs/libsecond-0123abcd-89abcdef.so,,", "libplain.so,,", "_speed.cpython-311-x86_64-linux-gnu.so,,",
		"app.libs/libbroken.so.1,,", "app.libs/libout.so,,", "app.libs/libgone.so,,", "../../../lib/libc.so.6,,", "app.libs/README,,",
	}, "\n")+"\n")
	// The walk has hashed one of them; the digest is taken from there.
	in.After = &evidence.Tree{Files: map[string]evidence.FileState{
		"/home/user/venv/site/app.libs/libfirst-0123abcd.so.1.2.3": {Digests: evidence.DigestSet{"sha256": strings.Repeat("cd", 32)}},
	}}
	bom := document(t, in)
	var app cdx.Component
	for _, c := range *bom.Components {
		if c.Name == "My.App" {
			app = c
		}
	}
	var got []string
	for _, c := range *app.Components {
		got = append(got, strings.Join([]string{c.Name, c.Version, (*c.Hashes)[0].Value, property(c, "pip-witness:soname"), (*c.Evidence.Occurrences)[0].Location}, " "))
	}
	sum := sha256.Sum256(second)
	want := []string{
		"libfirst 1.2.3 " + strings.Repeat("cd", 32) + " libfirst-0123abcd.so.1.2.3 /home/user/venv/site/app.libs/libfirst-0123abcd.so.1.2.3",
		"libsecond  " + hex.EncodeToString(sum[:]) + " libsecond-0123abcd-89abcdef.so /home/user/venv/site/app.libs/libsecond-0123abcd-89abcdef.so",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("libraries (-want +got):\n%s", diff)
	}
	edges := map[string][]string{}
	for _, d := range *bom.Dependencies {
		if strings.Contains(d.Ref, "#") && d.Dependencies != nil {
			edges[d.Ref] = *d.Dependencies
		}
	}
	prefix := "pkg:pypi/my-app@1.0#app.libs/"
	if diff := cmp.Diff(map[string][]string{prefix + "libsecond-0123abcd-89abcdef.so": {prefix + "libfirst-0123abcd.so.1.2.3"}}, edges); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
	all := gaps(bom)
	for _, file := range []string{"libbroken.so.1", "libout.so", "libgone.so"} {
		if !strings.Contains(all, file) {
			t.Errorf("the gaps do not name %s:\n%s", file, all)
		}
	}
	if !strings.Contains(fmt.Sprint(compositions(bom)), "unknown assemblies pkg:pypi/my-app@1.0") {
		t.Errorf("compositions %q", compositions(bom))
	}
	if len(first) == 0 {
		t.Error("no library was linked")
	}
}

// compositions writes what is known of completeness, a line each.
func compositions(bom *cdx.BOM) []string {
	var out []string
	for _, c := range *bom.Compositions {
		for what, refs := range map[string]*[]cdx.BOMReference{"assemblies": c.Assemblies, "dependencies": c.Dependencies} {
			if refs != nil {
				for _, ref := range *refs {
					out = append(out, fmt.Sprintf("%s %s %s", c.Aggregate, what, ref))
				}
			}
		}
	}
	return out
}

// gaps is what the document says that is not known, a line each.
func gaps(bom *cdx.BOM) string {
	var lines []string
	if bom.Metadata.Properties != nil {
		for _, p := range *bom.Metadata.Properties {
			if p.Name == "pip-witness:gap" {
				lines = append(lines, p.Value)
			}
		}
	}
	return strings.Join(lines, "\n")
}

// document attests and reads the document again.
func document(t *testing.T, in *attest.Input) *cdx.BOM {
	t.Helper()
	predicate, err := run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(predicate)
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := json.Unmarshal(data, &bom); err != nil {
		t.Fatal(err)
	}
	return &bom
}

func TestLibraryName(t *testing.T) {
	for in, want := range map[string][2]string{
		"libgfortran-040039e1-0352e75f.so.5.0.0": {"libgfortran", "5.0.0"},
		"libscipy_openblas64_-32a4b2a6.so":       {"libscipy_openblas64_", ""},
		"libcrypto.so.3":                         {"libcrypto", ""},
		"libfoo-1.2.3.so":                        {"libfoo", "1.2.3"},
		"libfoo-1.2.3-0123abcd.so":               {"libfoo", "1.2.3"},
		"libicudata.so.73.2":                     {"libicudata", "73.2"},
		"libstdc++.so.6.0.33":                    {"libstdc++", "6.0.33"},
		"README":                                 {"README", ""},
	} {
		if stem, version := libraryName(in); stem != want[0] || version != want[1] {
			t.Errorf("libraryName(%q) = %q, %q; want %q", in, stem, version, want)
		}
	}
}

func FuzzDynamicNames(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	if exe, err := os.ReadFile("/lib/x86_64-linux-gnu/libdl.so.2"); err == nil {
		f.Add(exe)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		soname, needed, err := dynamicNames(bytes.NewReader(data))
		if err != nil && (soname != "" || needed != nil) {
			t.Fatalf("%v, and %q, %q", err, soname, needed)
		}
		if len(soname) > 3*maxSONAME {
			t.Fatalf("SONAME of %d bytes", len(soname))
		}
	})
}
