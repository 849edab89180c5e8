package environment

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pip-witness/internal/attest"
)

func TestDetectCI(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	tests := []struct {
		name    string
		environ string
		want    *CI
	}{
		{"none", "CI=true", nil},
		{"GitHub", "GITHUB_ACTIONS=true GITHUB_SERVER_URL=https://git.example GITHUB_REPOSITORY=o/r GITHUB_RUN_ID=7 GITHUB_SHA=" + commit + " GITHUB_ACTOR=ann ImageOS=ubuntu24 ImageVersion=2026 RUNNER_NAME=r1",
			&CI{Provider: "github-actions", Repository: "o/r", Commit: commit, Run: "7", RunURL: "https://git.example/o/r/actions/runs/7", Actor: "ann", Runner: "r1", Image: "ubuntu24 2026"}},
		{"GitHub without a server", "GITHUB_ACTIONS=true GITHUB_REPOSITORY=o/r GITHUB_RUN_ID=7", &CI{Provider: "github-actions", Repository: "o/r", Run: "7"}},
		{"GitLab", "GITLAB_CI=true CI_PROJECT_PATH=g/p CI_COMMIT_REF_NAME=main CI_JOB_URL=https://x:y@git.example/j/1 CI_JOB_IMAGE=python:3.11",
			&CI{Provider: "gitlab-ci", Repository: "g/p", Ref: "main", RunURL: "https://<redacted>@git.example/j/1", Image: "python:3.11"}},
		{"Jenkins", "JENKINS_URL=https://ci.example BUILD_NUMBER=7 JOB_NAME=j BUILD_URL=https://ci.example/j/7/", &CI{Provider: "jenkins", Workflow: "j", Run: "7", RunURL: "https://ci.example/j/7"}},
		{"not quite Jenkins", "BUILD_NUMBER=7", nil},
		{"CircleCI", "CIRCLECI=true CIRCLE_PROJECT_USERNAME=o CIRCLE_PROJECT_REPONAME=r CIRCLE_BRANCH=b CIRCLE_TAG=v1 CIRCLE_BUILD_NUM=3 CIRCLE_BUILD_URL=https://ci.example/3 CIRCLE_USERNAME=bo",
			&CI{Provider: "circleci", Repository: "o/r", Ref: "v1", Run: "3", RunURL: "https://ci.example/3", Actor: "bo"}},
		{"Azure", "TF_BUILD=True BUILD_REPOSITORY_URI=https://me@git.example/o/_git/r BUILD_BUILDID=9 SYSTEM_COLLECTIONURI=https://dev.example/o/ SYSTEM_TEAMPROJECT=p BUILD_REASON=Manual",
			&CI{Provider: "azure-pipelines", Repository: "https://<redacted>@git.example/o/_git/r", Run: "9", RunURL: "https://dev.example/o/p/_build/results?buildId=9", Event: "Manual"}},
		{"Buildkite", "BUILDKITE=true BUILDKITE_REPO=git@git.example:o/r.git BUILDKITE_BRANCH=main BUILDKITE_BUILD_NUMBER=5 BUILDKITE_AGENT_NAME=a-1",
			&CI{Provider: "buildkite", Repository: "git@git.example:o/r.git", Ref: "main", Run: "5", Runner: "a-1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, detectCI(strings.Fields(tt.environ))); d != "" {
				t.Errorf("difference (-want +got):\n%s", d)
			}
		})
	}
}

// TestNoTokens gives every variable that is read, and those that hold tokens by
// their documentation, values that look like tokens.
func TestNoTokens(t *testing.T) {
	source, err := os.ReadFile("ci.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`"\$?([A-Z][A-Z0-9]+_[A-Z0-9_]+|ImageOS|ImageVersion)"`).FindAllStringSubmatch(string(source), -1) {
		names = append(names, m[1])
	}
	if len(names) < 50 {
		t.Fatalf("%d variables found in the source", len(names))
	}
	names = append(names,
		"CI_JOB_TOKEN", "GITHUB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "CIRCLE_TOKEN", "CIRCLE_OIDC_TOKEN_V2", "SYSTEM_ACCESSTOKEN", "BUILDKITE_AGENT_ACCESS_TOKEN",
		"BUILD_REPOSITORY_PASSWORD", "CI_REGISTRY_PASSWORD")
	body := strings.Repeat("Zq7", 13)
	for _, token := range []string{
		"gh" + "p_" + body, "gl" + "pat-" + body[:20], "AK" + "IA" + strings.ToUpper(body[:16]), "xo" + "xb-" + body, "ey" + "J" + body + "." + body + "." + body,
		body + "0", "https://user:" + body + "@host.example/x", "--token=" + body, "Authorization: Bearer " + body, "np" + "m_" + body, "py" + "pi-" + body,
	} {
		for _, provider := range []string{"GITHUB_ACTIONS=true", "GITLAB_CI=true", "CIRCLECI=true", "TF_BUILD=True", "BUILDKITE=true", ""} {
			environ := []string{provider}
			for _, name := range names {
				if !slices.Contains([]string{"GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TF_BUILD", "BUILDKITE"}, name) {
					environ = append(environ, name+"="+token)
				}
			}
			ci := detectCI(environ)
			if ci == nil {
				t.Fatalf("%q: no runner was recognised", provider)
			}
			data, err := json.Marshal(ci)
			if err != nil {
				t.Fatal(err)
			}
			if lower := strings.ToLower(string(data)); strings.Contains(lower, strings.ToLower(body[:16])) {
				t.Errorf("%s with %q: %s", provider, token, data)
			}
			if !strings.Contains(string(data), "redacted") {
				t.Errorf("%s with %q: nothing was redacted: %s", provider, token, data)
			}
		}
	}
}

func TestLongFact(t *testing.T) {
	got := detectCI([]string{"CIRCLECI=true", "CIRCLE_BRANCH=" + strings.Repeat("é ", 1000)})
	if n := len(got.Ref); n > maxFact+3 {
		t.Errorf("%d bytes are kept", n)
	}
	if _, err := Attestor().Run(t.Context(), &attest.Input{Environ: []string{"CIRCLECI=true", "CIRCLE_BRANCH=\xff"}}); err != nil {
		t.Error(err)
	}
}
