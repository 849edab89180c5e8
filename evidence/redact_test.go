package evidence

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRedactURL(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "https://index.example/simple/six/", "https://index.example/simple/six/"},
		{"user and password", "https://me:s3cret@index.example/simple", "https://<redacted>@index.example/simple"},
		{"token as user", "https://s3cret@index.example/simple", "https://<redacted>@index.example/simple"},
		{"port kept", "https://me:s3cret@index.example:8443/x", "https://<redacted>@index.example:8443/x"},
		{"IPv6", "http://[::1]:80/x@y", "http://[::1]:80/x@y"},
		{"at sign in password", "https://me:a@s3cret@index.example/x", "https://<redacted>@index.example/x"},
		{"slash in password", "https://me:a/s3cret@index.example/x", "https://<redacted>@index.example/x"},
		{"question mark in password", "https://me:a?s3cret@index.example/x?y=1", "https://<redacted>@index.example/x?y=1"},
		{"at sign in path", "https://files.example/@scope/pkg", "https://files.example/@scope/pkg"},
		{"VCS", "git+https://me:s3cret@git.example/a.git@v1#egg=a", "git+https://<redacted>@git.example/a.git@v1#egg=a"},
		{"query", "https://files.example/f?X-Amz-Signature=s3cret&a=1&token=s3cret", "https://files.example/f?X-Amz-Signature=<redacted>&a=1&token=<redacted>"},
		{"query key", "https://files.example/f?key=s3cret;page=2", "https://files.example/f?key=<redacted>;page=2"},
		{"encoded name", "https://files.example/f?%74oken=s3cret", "https://files.example/f?%74oken=<redacted>"},
		{"fragment", "https://files.example/f#access_token=s3cret", "https://files.example/f#access_token=<redacted>"},
		{"hash fragment kept", "https://files.example/f.whl#sha256=abc", "https://files.example/f.whl#sha256=abc"},
		{"not a URL", "requests>=2", "requests>=2"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := RedactURL(tt.in)
			if got != tt.want {
				t.Errorf("RedactURL(%q) = %q, want %q", tt.in, got, tt.want)
			}
			if again := RedactURL(got); again != got {
				t.Errorf("a second time: %q, want %q", again, got)
			}
		})
	}
}

func TestRedactArgs(t *testing.T) {
	tests := []struct {
		name     string
		in, want []string
	}{
		{"nothing secret", []string{"python", "-m", "pip", "install", "--user", "requests", "-r", "req.txt", "--key", "k.pem"},
			[]string{"python", "-m", "pip", "install", "--user", "requests", "-r", "req.txt", "--key", "k.pem"}},
		{"index URL", []string{"pip", "--index-url", "https://u:s3cret@index.example/simple"},
			[]string{"pip", "--index-url", "https://<redacted>@index.example/simple"}},
		{"index URL with equals", []string{"pip", "--extra-index-url=https://u:s3cret@index.example/simple"},
			[]string{"pip", "--extra-index-url=https://<redacted>@index.example/simple"}},
		{"short option joined", []string{"pip", "-ihttps://u:s3cret@index.example/simple"},
			[]string{"pip", "-ihttps://<redacted>@index.example/simple"}},
		{"requirement", []string{"pip", "a @ git+https://s3cret@git.example/a"}, []string{"pip", "a @ git+https://<redacted>@git.example/a"}},
		{"password", []string{"twine", "--password", "s3cret", "dist"}, []string{"twine", "--password", "<redacted>", "dist"}},
		{"token with equals", []string{"x", "--api-token=s3cret"}, []string{"x", "--api-token=<redacted>"}},
		{"api key", []string{"x", "--api-key", "s3cret"}, []string{"x", "--api-key", "<redacted>"}},
		{"value starting with a dash", []string{"x", "--password", "-s3cret"}, []string{"x", "--password", "<redacted>"}},
		{"no value", []string{"x", "--password", "--verbose"}, []string{"x", "--password", "--verbose"}},
		{"password file", []string{"x", "--password-file", "f"}, []string{"x", "--password-file", "f"}},
		{"curl user", []string{"curl", "-u", "me:s3cret", "-sS"}, []string{"curl", "-u", "<redacted>", "-sS"}},
		{"curl user joined", []string{"curl", "-ume:s3cret"}, []string{"curl", "-u<redacted>"}},
		{"curl user with equals", []string{"curl", "--user=me:s3cret"}, []string{"curl", "--user=<redacted>"}},
		{"unbuffered", []string{"python", "-u", "a.py"}, []string{"python", "-u", "a.py"}},
		{"header", []string{"curl", "-H", "Authorization: Bearer s3cret"}, []string{"curl", "-H", "Authorization: <redacted>"}},
		{"header joined", []string{"curl", "-HX-Api-Key: s3cret"}, []string{"curl", "-HX-Api-Key: <redacted>"}},
		{"header with equals", []string{"wget", "--header=PRIVATE-TOKEN: s3cret"}, []string{"wget", "--header=PRIVATE-TOKEN: <redacted>"}},
		{"other header", []string{"curl", "-H", "Accept: text/html"}, []string{"curl", "-H", "Accept: text/html"}},
		{"proxy", []string{"pip", "--proxy", "u:s3cret@proxy.example:3128"}, []string{"pip", "--proxy", "<redacted>@proxy.example:3128"}},
		{"proxy with equals", []string{"pip", "--proxy=u:s3cret@proxy.example:3128"}, []string{"pip", "--proxy=<redacted>@proxy.example:3128"}},
		{"assignment", []string{"env", "GITHUB_TOKEN=s3cret", "A=b", "author=me"}, []string{"env", "GITHUB_TOKEN=<redacted>", "A=b", "author=me"}},
		{"nested", []string{"pip", "--global-option=--password=s3cret"}, []string{"pip", "--global-option=--password=<redacted>"}},
		{"shell", []string{"sh", "-c", "twine --password s3cret; curl https://u:s3cret@h.example; x --token=s3cret"},
			[]string{"sh", "-c", "twine --password <redacted> curl https://<redacted>@h.example; x --token=<redacted>"}},
		{"code", []string{"python", "-c", "h = {'Authorization': 'Bearer s3cret'}"}, []string{"python", "-c", "h = {'Authorization': 'Bearer <redacted>'}"}},
		{"empty", []string{}, []string{}},
		{"nil", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := RedactArgs(tt.in)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("difference (-want +got):\n%s", d)
			}
			if d := cmp.Diff(got, RedactArgs(got)); d != "" {
				t.Errorf("a second time (-first +second):\n%s", d)
			}
		})
	}
}

func TestRedactText(t *testing.T) {
	tests := []struct {
		name, in string
		secrets  []string
		want     string
	}{
		{"nothing", "Successfully installed six-1.17.0\n", nil, "Successfully installed six-1.17.0\n"},
		{"URL in a line", "Looking in indexes: https://u:s3cret@index.example/simple, https://b.example\n", nil,
			"Looking in indexes: https://<redacted>@index.example/simple, https://b.example\n"},
		{"quoted URL", `"https://s3cret@h.example"`, nil, `"https://<redacted>@h.example"`},
		{"header", "> Authorization: Basic czNjcmV0\n> Accept: */*\n", nil, "> Authorization: Basic <redacted>\n> Accept: */*\n"},
		{"literal", "got s3cret, s3cret!", []string{"s3cret"}, "got <redacted>, <redacted>!"},
		{"encoded literal", "u%3As3%2Fcret s3/cret", []string{"s3/cret"}, "u%3A<redacted> <redacted>"},
		{"longer first", "s3cret-long s3cret", []string{"s3cret", "s3cret-long"}, "<redacted> <redacted>"},
		{"too short", "abc", []string{"a", ""}, "abc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := RedactText(tt.in, tt.secrets); got != tt.want {
				t.Errorf("RedactText = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRedactEnviron(t *testing.T) {
	got := RedactEnviron([]string{
		"PATH=/usr/bin:/home/user/my bin", "AWS_SECRET_ACCESS_KEY=s3cret", "CI=true", "EMPTY=", "no-equals", "=x",
		"PIP_INDEX_URL=https://u:s3cret@index.example/simple", "LC_ALL=C\xff%", "JENKINS_URL=https://u:s3cret@ci.example/",
		"A B=s3cret", "PYTHONPATH=/x\n/y", "PYTHONTOKEN=s3cret",
	})
	want := "A%20B=<redacted> AWS_SECRET_ACCESS_KEY=<redacted> CI=true EMPTY= JENKINS_URL=https://<redacted>@ci.example/ LC_ALL=C%FF%25 " +
		"PATH=/usr/bin:/home/user/my%20bin PIP_INDEX_URL=<redacted> PYTHONPATH=/x%0A/y PYTHONTOKEN=<redacted>"
	if got != want {
		t.Errorf("RedactEnviron:\n got %s\nwant %s", got, want)
	}
	split := SplitEnviron(got)
	if d := cmp.Diff([]string{"A B", "AWS_SECRET_ACCESS_KEY", "CI", "EMPTY", "JENKINS_URL", "LC_ALL", "PATH", "PIP_INDEX_URL", "PYTHONPATH", "PYTHONTOKEN"},
		slices.Sorted(maps.Keys(split))); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if split["PATH"] != "/usr/bin:/home/user/my bin" || split["LC_ALL"] != "C\xff%" || split["PYTHONPATH"] != "/x\n/y" {
		t.Errorf("SplitEnviron = %q", split)
	}
	if got := SplitEnviron("A=1 A=2")["A"]; got != "1" {
		t.Errorf("a name twice: %q, want the first value", got)
	}
	if got := SplitEnviron(""); len(got) != 0 {
		t.Errorf("SplitEnviron of nothing = %v", got)
	}
}

// FuzzRedact: no input panics, redaction is idempotent, the shape of vectors is
// kept, and a planted password never survives in a URL.
func FuzzRedact(f *testing.F) {
	f.Add("https://u:%s@h.example/?token=x#y", "--password")
	f.Add("://", "-u")
	f.Add("a=b=c", "-H")
	f.Add("git+ssh://a@b:c/d@e", "PATH=/x y%2")
	f.Fuzz(func(t *testing.T, a, b string) {
		if once := RedactURL(a); RedactURL(once) != once {
			t.Errorf("RedactURL(%q) = %q is not stable", a, once)
		}
		if got := RedactArgs([]string{b, a}); len(got) != 2 {
			t.Errorf("RedactArgs changed the length: %q", got)
		}
		const planted = "pl4ntedsecretvalue"
		if host := strings.Trim(a, "\x00"); !strings.ContainsAny(host, "@/?#:") {
			if got := RedactURL("https://u:" + planted + "@" + host + "/"); strings.Contains(got, planted) {
				t.Errorf("the password survived in %q", got)
			}
		}
		line := RedactEnviron([]string{a, b})
		for name := range SplitEnviron(line) {
			if !strings.HasPrefix(a, name+"=") && !strings.HasPrefix(b, name+"=") {
				t.Errorf("SplitEnviron(%q) has the name %q", line, name)
			}
		}
		if got := RedactText(a, []string{planted}); strings.Contains(got, planted) {
			t.Errorf("the literal survived in %q", got)
		}
	})
}
