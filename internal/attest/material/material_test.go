package material

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

func TestRun(t *testing.T) {
	wheel := evidence.DigestSet{"sha256": "00"}
	tests := []struct {
		name    string
		install *evidence.Installation
		want    Predicate
	}{
		{"from an index", &evidence.Installation{}, Predicate{}},
		{"files and a directory", &evidence.Installation{LocalFiles: []evidence.LocalFile{
			{Path: "./a-1-py3-none-any.whl", SandboxPath: "/home/user/project/a-1-py3-none-any.whl", Kind: "wheel", Digests: wheel},
			{Path: "src", Kind: "directory"},
		}}, Predicate{"./a-1-py3-none-any.whl": wheel, "src": {}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Attestor().Run(t.Context(), &attest.Input{Install: tt.install})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("difference (-want +got):\n%s", d)
			}
		})
	}
	var skipped *attest.SkippedError
	if _, err := Attestor().Run(t.Context(), &attest.Input{}); !errors.As(err, &skipped) {
		t.Errorf("a step without an installation: %v, want it skipped", err)
	}
}
