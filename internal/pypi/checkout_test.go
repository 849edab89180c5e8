package pypi

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckout(t *testing.T) {
	for text, want := range map[string]*Checkout{
		"git+https://code.example/a/b.git": {
			VCS: "git", Scheme: "https", Repository: "https://code.example/a/b.git", Requirement: "git+https://code.example/a/b.git",
		},
		"git+https://me:s%40cret@code.example:8443/a.git@feature/x#egg=c&subdirectory=d": {
			VCS: "git", Scheme: "https", Repository: "https://me:s%40cret@code.example:8443/a.git", Revision: "feature/x",
			Requirement: "git+https://code.example:8443/a.git@feature/x#egg=c&subdirectory=d",
		},
		"c @ git+http://token@code.example/a@v1 ; python_version > '3'": {
			VCS: "git", Scheme: "http", Repository: "http://token@code.example/a", Revision: "v1", Requirement: "git+http://code.example/a@v1",
		},
		"git+file:///srv/a@0123": {
			VCS: "git", Scheme: "file", Repository: "file:///srv/a", Path: "/srv/a", Revision: "0123", Requirement: "git+file:///srv/a@0123",
		},
		"git+ssh://git@code.example/a.git": {
			VCS: "git", Scheme: "ssh", Repository: "ssh://git@code.example/a.git", Requirement: "git+ssh://code.example/a.git",
		},
		"hg+https://code.example/a": {VCS: "hg", Scheme: "https", Repository: "https://code.example/a", Requirement: "hg+https://code.example/a"},
		"git://code.example/a":      {VCS: "git", Scheme: "git"},
	} {
		t.Run(text, func(t *testing.T) {
			a, err := ClassifyArgument(text, "/", false)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, a.Checkout); diff != "" || a.Kind != ArgumentVCS {
				t.Errorf("%s (-want +got):\n%s", a.Kind, diff)
			}
		})
	}
	for _, text := range []string{
		"git+https://code.example/a.git@", "git+https://code.example/a.git?token=x", "git+https:///a.git", "git+file://elsewhere/a",
	} {
		if a, err := ClassifyArgument(text, "/", false); err == nil {
			t.Errorf("%q reads as %+v, want an error", text, a.Checkout)
		}
	}
}
