package secretscan

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/detect/codec"
	"github.com/zricethezav/gitleaks/v8/report"
	"github.com/zricethezav/gitleaks/v8/sources"

	"pip-witness/internal/testpkg"
)

// describe makes findings comparable: their order within one text is not fixed
// in gitleaks, which ranges over a map of rules.
func describe(findings []report.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%s:%d:%d:%d:%d %q %q %v %v", f.RuleID, f.StartLine, f.EndLine, f.StartColumn, f.EndColumn, f.Match, f.Secret, f.Tags, f.Entropy))
	}
	slices.Sort(out)
	return out
}

func compare(t *testing.T, s *scanner, f sources.Fragment) int {
	t.Helper()
	want := describe(s.whole.Detect(detect.Fragment(f)))
	if d := cmp.Diff(want, describe(s.find(f))); d != "" {
		t.Errorf("%s (-gitleaks +scanner):\n%s", f.FilePath, d)
	}
	return len(want)
}

// sample writes a random text that an expression matches, nearly always.
func sample(r *rand.Rand, re *syntax.Regexp, out *strings.Builder) {
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 && r.IntN(2) == 0 {
				c = []rune(strings.ToUpper(string(c)))[0]
			}
			out.WriteRune(c)
		}
	case syntax.OpCharClass:
		// Most of the time a printable character.
		for range 40 {
			i := r.IntN(len(re.Rune)/2) * 2
			c := re.Rune[i] + rune(r.IntN(int(min(re.Rune[i+1]-re.Rune[i], 200))+1))
			if c > ' ' && c < 0x7f || r.IntN(20) == 0 {
				out.WriteRune(c)
				return
			}
		}
		out.WriteRune(re.Rune[0])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteByte(byte('a' + r.IntN(26)))
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		least, most := re.Min, re.Max
		switch re.Op {
		case syntax.OpStar:
			least, most = 0, 3
		case syntax.OpPlus:
			least, most = 1, 4
		case syntax.OpQuest:
			least, most = 0, 1
		}
		if most < 0 {
			most = least + 5
		}
		for range least + r.IntN(most-least+1) {
			sample(r, re.Sub[0], out)
		}
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range re.Sub {
			sample(r, sub, out)
		}
	case syntax.OpAlternate:
		sample(r, re.Sub[r.IntN(len(re.Sub))], out)
	}
}

// TestSameAsGitleaksOnSamples gives each rule texts that its expression
// matches, among words, and asks both.
func TestSameAsGitleaksOnSamples(t *testing.T) {
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	words := strings.Fields("def import return key token secret = : \" ' auth self api password 0123456789abcdef % \n \n \n")
	found, silent := 0, 0
	for _, rule := range s.rules {
		if rule.Regex == nil {
			continue
		}
		re, err := syntax.Parse(rule.Regex.String(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		hits := 0
		for i := range 12 {
			var text strings.Builder
			for range r.IntN(60) {
				text.WriteString(words[r.IntN(len(words))] + " ")
			}
			text.WriteString(" ")
			sample(r, re, &text)
			text.WriteString("\n")
			for range r.IntN(60) {
				text.WriteString(words[r.IntN(len(words))] + " ")
			}
			for _, file := range []string{"/a/x.py", "/a/x.yaml", "/a/x.tf", "/a/x.php", "/a/nuget.config"} {
				hits += compare(t, s, sources.Fragment{Raw: text.String(), FilePath: file, StartLine: 1})
				if rule.Path == nil {
					break
				}
			}
			if t.Failed() {
				t.Fatalf("rule %q, text %d", rule.RuleID, i)
			}
		}
		found += hits
		if hits == 0 {
			silent++
			t.Logf("rule %q: no sample was reported by gitleaks (entropy or stop words)", rule.RuleID)
		}
	}
	if t.Logf("%d findings, %d of %d rules silent", found, silent, len(s.rules)); silent > len(s.rules)/10 {
		t.Errorf("the samples exercise too few rules")
	}
}

// corpus is real text: the modules of the interpreter that is here.
func corpus(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("python3", "-c", "import sysconfig; print(sysconfig.get_paths()['stdlib'])").Output()
	if err != nil {
		t.Skip("needs python3, for a corpus of real files")
	}
	return strings.TrimSpace(string(out))
}

// visit calls do with the fragments of files below dir until limit bytes were seen.
func visit(dir string, limit int64, do func(sources.Fragment)) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(p, ".pyc") || total > limit {
			return nil
		}
		f, err := os.Open(p)
		if err != nil {
			return nil
		}
		defer f.Close()
		return (&sources.File{Content: f}).Fragments(context.Background(), func(fragment sources.Fragment, err error) error {
			total += int64(len(fragment.Raw))
			fragment.FilePath = p
			do(fragment)
			return err
		})
	})
	return total
}

// TestSameAsGitleaksOnFiles plants samples of random rules into real files.
func TestSameAsGitleaksOnFiles(t *testing.T) {
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 8))
	found := 0
	total := visit(corpus(t)+"/json", 1<<20, func(f sources.Fragment) { found += compare(t, s, f) })
	total += visit(corpus(t)+"/test", 2<<20, func(f sources.Fragment) {
		if rule := s.rules[r.IntN(len(s.rules))]; rule.Regex != nil {
			if re, err := syntax.Parse(rule.Regex.String(), syntax.Perl); err == nil {
				var planted strings.Builder
				sample(r, re, &planted)
				at := r.IntN(len(f.Raw) + 1)
				f.Raw = f.Raw[:at] + " " + planted.String() + " \n" + f.Raw[at:]
			}
		}
		found += compare(t, s, f)
	})
	t.Logf("%d bytes, %d findings", total, found)
	if found == 0 {
		t.Error("nothing was found in the corpus")
	}
}

func TestSpeed(t *testing.T) {
	if os.Getenv("SECRETSCAN_SPEED") == "" {
		t.Skip("needs SECRETSCAN_SPEED=1: it measures, and checks nothing")
	}
	start := time.Now()
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("rules compiled in %v", time.Since(start))
	for name, find := range map[string]func(sources.Fragment){
		"gitleaks": func(f sources.Fragment) { s.whole.Detect(detect.Fragment(f)) },
		"scanner":  func(f sources.Fragment) { s.find(f) },
	} {
		start := time.Now()
		total := visit(corpus(t), 8<<20, find)
		t.Logf("%s: %.1f MB/s", name, float64(total)/1e6/time.Since(start).Seconds())
	}
}

// FuzzCanDecode: where canDecode says no, gitleaks' decoder finds nothing.
func FuzzCanDecode(f *testing.F) {
	for _, seed := range []string{"", "%41", "U+0041 ", `\u0041`, `\\U0041`, strings.Repeat("41", 16), "aGVsbG8gd29ybGQhIQ==", "aGVsbG8gd29ybGQhI", "0123456789abcdef==", "x/" + strings.Repeat("ab1", 9)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if canDecode(text) {
			return
		}
		if decoded, segments := codec.NewDecoder().Decode(text, nil); len(segments) > 0 {
			t.Errorf("canDecode(%q) = false, but it decodes to %q", text, decoded)
		}
	})
}

// FuzzDecodeLines: line by line, a text decodes to what gitleaks' decoder makes of
// the whole, and every decoded part is in a span.
func FuzzDecodeLines(f *testing.F) {
	for _, seed := range []string{"a %41b%42\nb \\u0041\nc", "U+0041 \nU+0042\nx", "aGVsbG8gd29ybGQhIQ==\naGVsbG8gd29ybGQhIQ==", "x\n\n%41", "0123456789abcdef0123456789ABCDEF41\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, changed := text, []span(nil)
		if canDecode(text) {
			got, changed = decodeLines(text)
		}
		want, segments := codec.NewDecoder().Decode(text, nil)
		if got != want {
			t.Fatalf("%q decodes to %q, want %q", text, got, want)
		}
		if (len(segments) > 0) != (len(changed) > 0) {
			t.Errorf("%q: %d segments, spans %v", text, len(segments), changed)
		}
		last := 0
		for _, s := range append(changed, span{len(got) + 1, 0}) {
			if last+1 < s.from-1 && len(codec.SegmentsWithDecodedOverlap(segments, last+1, s.from-1)) > 0 {
				t.Errorf("%q: a decoded part lies outside of %v", text, changed)
			}
			last = s.to
		}
	})
}

// TestE2ESameAsGitleaksOnLargeInstall asks both about every text of an install of
// pandas, numpy, scipy and matplotlib.
func TestE2ESameAsGitleaksOnLargeInstall(t *testing.T) {
	if os.Getenv("PIP_WITNESS_E2E") == "" {
		t.Skip("needs PIP_WITNESS_E2E=1: it takes minutes")
	}
	wheels, err := testpkg.Wheels(testpkg.LargeInstall())
	if err != nil {
		t.Skipf("needs the wheels of the benchmarks: %v", err)
	}
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := testpkg.Unpack(dir, wheels); err != nil {
		t.Fatal(err)
	}
	found := 0
	total := visit(dir, 1<<30, func(f sources.Fragment) { found += compare(t, s, f) })
	if t.Logf("%d bytes, %d findings", total, found); found == 0 {
		t.Error("nothing was found")
	}
}

// FuzzFind: any text gives what gitleaks finds.
func FuzzFind(f *testing.F) {
	s, err := newScanner()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("password = 'Zx81kd02mQpL4sT9'\n")
	f.Add("to\u212Aen s\u0130 \u017F key=0f8a7b6c5d4e3f2a1b0c")
	f.Fuzz(func(t *testing.T, text string) {
		compare(t, s, sources.Fragment{Raw: text, FilePath: "/a/x.yaml", StartLine: 1})
	})
}
