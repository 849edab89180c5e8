package verify_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/attestation"
	"pip-witness/policy"
	"pip-witness/verify"
)

func summaryContext() verify.SummaryContext {
	return verify.SummaryContext{Version: "0.1.0", PolicyURI: "file:policy.json", TimeVerified: now()}
}

func TestSummaries(t *testing.T) {
	file := func(name, digest string) policy.File {
		return policy.File{Filename: name, SHA256: strings.Repeat(digest, 64)}
	}
	result := policy.Result{
		Policy: policy.Summary{SHA256: "p"},
		Steps:  []policy.StepResult{{Name: "pip-install", Collection: "c1"}, {Name: "pip-import"}},
		Packages: []policy.Package{
			{Name: "Zope.Interface", Version: "7.2", Files: []policy.File{file("zope_interface-7.2.tar.gz", "b"), file("again-1.whl", "b")}},
			{Name: "idna", Version: "3.0+local", Files: []policy.File{file("idna-3.0-py3-none-any.whl", "a")}},
		},
	}
	for verdict, want := range map[policy.Verdict][2]string{
		policy.Pass: {"PASSED", "SLSA_BUILD_LEVEL_UNEVALUATED"}, policy.Fail: {"FAILED", "FAILED"},
		policy.Incomplete: {"FAILED", "FAILED"}, policy.Untrusted: {"FAILED", "FAILED"}, "": {"FAILED", "FAILED"},
	} {
		t.Run(string(verdict), func(t *testing.T) {
			result.Verdict = verdict
			got := must[[]verify.SummaryStatement](t)(verify.Summaries(&result, summaryContext()))
			var names []string
			for _, s := range got {
				names = append(names, s.Filename)
			}
			if diff := cmp.Diff([]string{"idna-3.0-py3-none-any.whl", "zope_interface-7.2.tar.gz"}, names); diff != "" {
				t.Fatalf("files (-want +got):\n%s", diff)
			}
			wantPayload := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"zope_interface-7.2.tar.gz","digest":{"sha256":"` + strings.Repeat("b", 64) + `"}}],` +
				`"predicateType":"https://slsa.dev/verification_summary/v1","predicate":{"verifier":{"id":"https://pip-witness.dev/verifier/v1","version":{"pip-witness":"0.1.0"}},` +
				`"timeVerified":"2026-11-23T12:00:00Z","resourceUri":"pkg:pypi/zope-interface@7.2","policy":{"uri":"file:policy.json","digest":{"sha256":"p"}},` +
				`"inputAttestations":[{"name":"pip-install","digest":{"sha256":"c1"}}],"verificationResult":"` + want[0] + `","verifiedLevels":["` + want[1] + `"],"slsaVersion":"1.0"}}`
			if diff := cmp.Diff(wantPayload, string(got[1].Payload)); diff != "" {
				t.Errorf("statement (-want +got):\n%s", diff)
			}
		})
	}
	result.Packages = []policy.Package{{Name: "x", Files: []policy.File{{Filename: "x.whl"}}}}
	if _, err := verify.Summaries(&result, summaryContext()); err == nil || !strings.Contains(err.Error(), "no digest") {
		t.Errorf("a file without a digest: error %v", err)
	}
	result.Packages = nil
	if got, err := verify.Summaries(&result, summaryContext()); err != nil || len(got) != 0 {
		t.Errorf("without a file: %v, %v", got, err)
	}
}

// TestSummariesOfVerified goes from evidence to summaries: the collection digests
// are those of the payloads.
func TestSummariesOfVerified(t *testing.T) {
	w := newWorld(t, policy.Builtin())
	result := w.verify(w.both(evidence{}, evidence{})...)
	got := must[[]verify.SummaryStatement](t)(verify.Summaries(result, summaryContext()))
	if len(got) != 1 || got[0].Filename != wheel().Name {
		t.Fatalf("summaries %v", got)
	}
	statement := must[attestation.Statement](t)(attestation.ParseStatement(got[0].Payload))
	var summary verify.Summary
	if err := json.Unmarshal(statement.Predicate, &summary); err != nil {
		t.Fatal(err)
	}
	if summary.VerificationResult != "PASSED" || len(summary.InputAttestations) != 2 || summary.InputAttestations[0].Digest["sha256"] != result.Steps[0].Collection ||
		summary.Policy.Digest["sha256"] != result.Policy.SHA256 || result.Policy.SHA256 == "" {
		t.Errorf("summary %+v", summary)
	}
}
