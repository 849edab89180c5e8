package environment

import (
	"cmp"
	"regexp"
	"strings"

	"pip-witness/evidence"
)

// CI is a runner of a continuous integration service, by its own account:
// anything that sets the variables can claim to be one.
type CI struct {
	// Provider is "github-actions", "gitlab-ci", "jenkins", "circleci",
	// "azure-pipelines" or "buildkite".
	Provider string `json:"provider"`
	// Repository, Commit, Ref, Workflow and Run are what the provider's variables
	// say, empty where they say nothing: a project's path or URL, a commit id, a
	// branch or tag, the workflow or job, and the number of the run.
	Repository string `json:"repository,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Workflow   string `json:"workflow,omitempty"`
	Run        string `json:"run,omitempty"`
	// RunURL is the page of the run, Actor who caused it, Event why it runs
	// ("push"), Runner the machine's name at the provider, Image what it was made of
	// with its version; each is empty where the provider does not say.
	RunURL string `json:"runUrl,omitempty"`
	Actor  string `json:"actor,omitempty"`
	Event  string `json:"event,omitempty"`
	Runner string `json:"runner,omitempty"`
	Image  string `json:"image,omitempty"`
}

// maxFact bounds one fact of a runner, in bytes.
const maxFact = 500

// runner reads variables of a runner. Only those that are asked for by name are
// looked at, and none that by its documentation holds a credential.
type runner struct {
	variables map[string]string
	tokens    *regexp.Regexp
}

// tokenShape is what tokens look like: a known beginning, three parts of base64,
// or a long run of letters and digits that is no commit id (40 or 64 hexadecimal
// digits). The variables of runners are set by whoever writes the workflow, too.
const tokenShape = `(?:gh[pousr]_|github_pat_|glpat-|gl[a-z]{2,6}-|xox[a-z]-|npm_|pypi-|AKIA|ASIA|bkua_|bkpt_|CCIPAT_|CCIPRJ_|sk-|eyJ)[A-Za-z0-9_\-.]{8,}|[A-Za-z0-9_\-+/]{40,}={0,2}`

// get returns the value of the first of the variables that is set.
func (r runner) get(names ...string) string {
	for _, name := range names {
		value := strings.ToValidUTF8(evidence.RedactText(r.variables[name], nil), "\uFFFD")
		if value == "" {
			continue
		}
		value = r.tokens.ReplaceAllStringFunc(value, func(match string) string {
			if isCommit(match) || strings.Contains(match, "/") && !strings.HasPrefix(match, "eyJ") && short(match) {
				return match
			}
			return evidence.Redacted
		})
		if len(value) > maxFact {
			value = strings.ToValidUTF8(value[:maxFact], "") + "…"
		}
		return value
	}
	return ""
}

func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// short says that a path has no part that is as long as a token.
func short(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if len(part) >= 32 && !isCommit(part) {
			return false
		}
	}
	return true
}

// url joins the parts of an address; it is empty where one is not known.
func (r runner) url(parts ...string) string {
	var out strings.Builder
	for _, part := range parts {
		name, variable := strings.CutPrefix(part, "$")
		if !variable {
			out.WriteString(part)
			continue
		}
		value := r.get(name)
		if value == "" {
			return ""
		}
		out.WriteString(strings.TrimSuffix(value, "/"))
	}
	return evidence.RedactURL(out.String())
}

// image joins the name and the version of a runner's image.
func (r runner) image(name, version string) string {
	return strings.TrimSpace(r.get(name) + " " + r.get(version))
}

// detectCI recognises a runner by the variables that its documentation names.
func detectCI(environ []string) *CI {
	r := runner{variables: make(map[string]string), tokens: regexp.MustCompile(tokenShape)}
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if _, known := r.variables[name]; ok && !known {
			r.variables[name] = value
		}
	}
	is := func(name, value string) bool { return strings.EqualFold(r.variables[name], value) }
	switch {
	case is("GITHUB_ACTIONS", "true"):
		return r.github()
	case is("GITLAB_CI", "true"):
		return r.gitlab()
	case is("CIRCLECI", "true"):
		return r.circle()
	case is("TF_BUILD", "true"):
		return r.azure()
	case is("BUILDKITE", "true"):
		return r.buildkite()
	case r.variables["JENKINS_URL"] != "" && r.variables["BUILD_NUMBER"] != "":
		return r.jenkins()
	}
	return nil
}

func (r runner) github() *CI {
	return &CI{
		Provider: "github-actions", Repository: r.get("GITHUB_REPOSITORY"), Commit: r.get("GITHUB_SHA"), Ref: r.get("GITHUB_REF"),
		Workflow: r.get("GITHUB_WORKFLOW"), Run: r.get("GITHUB_RUN_ID"),
		RunURL: r.url("$GITHUB_SERVER_URL", "/", "$GITHUB_REPOSITORY", "/actions/runs/", "$GITHUB_RUN_ID"),
		Actor:  r.get("GITHUB_ACTOR"), Event: r.get("GITHUB_EVENT_NAME"), Runner: r.get("RUNNER_NAME"), Image: r.image("ImageOS", "ImageVersion"),
	}
}

func (r runner) gitlab() *CI {
	return &CI{
		Provider: "gitlab-ci", Repository: r.get("CI_PROJECT_PATH"), Commit: r.get("CI_COMMIT_SHA"), Ref: r.get("CI_COMMIT_REF_NAME"),
		Workflow: r.get("CI_JOB_NAME"), Run: r.get("CI_PIPELINE_ID"), RunURL: r.url("$CI_JOB_URL"),
		Actor: r.get("GITLAB_USER_LOGIN"), Event: r.get("CI_PIPELINE_SOURCE"), Runner: r.get("CI_RUNNER_DESCRIPTION"), Image: r.get("CI_JOB_IMAGE"),
	}
}

func (r runner) jenkins() *CI {
	return &CI{
		Provider: "jenkins", Commit: r.get("GIT_COMMIT"), Ref: r.get("GIT_BRANCH"), Workflow: r.get("JOB_NAME"), Run: r.get("BUILD_NUMBER"),
		Repository: r.url("$GIT_URL"), RunURL: r.url("$BUILD_URL"), Runner: r.get("NODE_NAME"),
	}
}

func (r runner) circle() *CI {
	out := &CI{
		Provider: "circleci", Commit: r.get("CIRCLE_SHA1"), Ref: r.get("CIRCLE_TAG", "CIRCLE_BRANCH"), Workflow: r.get("CIRCLE_JOB"),
		Run: r.get("CIRCLE_BUILD_NUM"), RunURL: r.url("$CIRCLE_BUILD_URL"), Actor: r.get("CIRCLE_USERNAME"),
	}
	if owner, name := r.get("CIRCLE_PROJECT_USERNAME"), r.get("CIRCLE_PROJECT_REPONAME"); owner != "" && name != "" {
		out.Repository = owner + "/" + name
	}
	return out
}

func (r runner) azure() *CI {
	return &CI{
		Provider: "azure-pipelines", Repository: cmp.Or(r.url("$BUILD_REPOSITORY_URI"), r.get("BUILD_REPOSITORY_NAME")), Commit: r.get("BUILD_SOURCEVERSION"),
		Ref: r.get("BUILD_SOURCEBRANCH"), Workflow: r.get("BUILD_DEFINITIONNAME"), Run: r.get("BUILD_BUILDID"),
		RunURL: r.url("$SYSTEM_COLLECTIONURI", "/", "$SYSTEM_TEAMPROJECT", "/_build/results?buildId=", "$BUILD_BUILDID"),
		Actor:  r.get("BUILD_REQUESTEDFOR"), Event: r.get("BUILD_REASON"), Runner: r.get("AGENT_NAME"), Image: r.image("ImageOS", "ImageVersion"),
	}
}

func (r runner) buildkite() *CI {
	return &CI{
		Provider: "buildkite", Repository: r.url("$BUILDKITE_REPO"), Commit: r.get("BUILDKITE_COMMIT"), Ref: r.get("BUILDKITE_TAG", "BUILDKITE_BRANCH"),
		Workflow: r.get("BUILDKITE_PIPELINE_SLUG"), Run: r.get("BUILDKITE_BUILD_NUMBER"), RunURL: r.url("$BUILDKITE_BUILD_URL"),
		Actor: r.get("BUILDKITE_BUILD_CREATOR"), Event: r.get("BUILDKITE_SOURCE"), Runner: r.get("BUILDKITE_AGENT_NAME"),
	}
}
