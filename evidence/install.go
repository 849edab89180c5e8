package evidence

import "time"

// Installation is what is known about one installation from outside the
// sandbox: what was asked, what the index said, what was downloaded.
type Installation struct {
	// Requirements are the requirements as given, credentials redacted.
	Requirements []string `json:"requirements"`
	// RequirementFiles, Artifacts are local inputs: paths as given by the user.
	RequirementFiles []string `json:"requirementFiles,omitempty"`
	// LocalFiles are wheels and sdists given as paths, with digests.
	LocalFiles []LocalFile `json:"localFiles,omitempty"`
	// Options are the installer's selection options as passed, redacted.
	Options []string `json:"options,omitempty"`
	// Indexes are the configured index URLs without credentials, in order.
	Indexes []string `json:"indexes"`
	// Downloads are the distribution files that the index gateway served, in order.
	Downloads []Download `json:"downloads"`
	// Report is the installer's own report (`pip install --report`), raw; nil when
	// the installation did not get that far. URLs in it are the gateway's:
	// RealURL in Downloads has the true ones.
	Report []byte `json:"-"`
	// Interpreter is the user's interpreter.
	Interpreter Interpreter `json:"interpreter"`
	// Projects are the pages of the installed projects that the indexes answered
	// with; nil when no index was asked. Provenances are the provenance objects of
	// their files and of files of their earlier releases.
	Projects    []IndexProject `json:"-"`
	Provenances []Provenance   `json:"-"`
	// DefaultIndex is the index that the installer asks when nothing is configured.
	// FindLinks are those of Indexes that are such locations. TrustedHosts are hosts whose
	// certificate it does not verify. NoIndex is true when it was told to ask no index.
	DefaultIndex string   `json:"defaultIndex,omitempty"`
	FindLinks    []string `json:"findLinks,omitempty"`
	TrustedHosts []string `json:"trustedHosts,omitempty"`
	NoIndex      bool     `json:"noIndex,omitempty"`
	// Problems are pages and files that the installer asked for and did not get.
	Problems []IndexProblem `json:"problems,omitempty"`
}

// IndexProblem is a page or a file that could not be had.
type IndexProblem struct {
	// Kind is not-found, unreachable, unauthorized, tls, upstream-error or
	// digest-mismatch: the bytes are not those that the index announced.
	Kind string `json:"kind"`
	// Index is without credentials, as URL is; empty for a URL of a requirement.
	Index string `json:"index,omitempty"`
	URL   string `json:"url"`
	// Project is set for a page, Filename for a file.
	Project  string `json:"project,omitempty"`
	Filename string `json:"filename,omitempty"`
	Message  string `json:"message"`
}

// LocalFile is a distribution file (wheel or sdist), requirement or constraint
// file that the user gave.
type LocalFile struct {
	Path        string    `json:"path"`        // as the user gave it
	SandboxPath string    `json:"sandboxPath"` // where it was inside the sandbox
	Kind        string    `json:"kind"`        // wheel, sdist, directory, requirements, constraints
	Digests     DigestSet `json:"digests"`
	Size        int64     `json:"size"`
}

// Download is one distribution file that was served to the installer.
type Download struct {
	Filename string `json:"filename"`
	// URL is the true location without credentials, GatewayURL the one that the
	// installer saw. Index is the index URL (or find-links location) it came from.
	URL        string    `json:"url"`
	GatewayURL string    `json:"-"`
	Index      string    `json:"index"`
	Digests    DigestSet `json:"digests"` // of the bytes served
	Size       int64     `json:"size"`    // bytes
	// Expected is the digest set that the index announced; empty when it gave none.
	Expected DigestSet `json:"expected,omitempty"`
	// UploadTime, Yanked, RequiresPython, Status and Provenance are what the index
	// said; empty means that it did not say.
	UploadTime     string    `json:"uploadTime,omitempty"`
	Yanked         string    `json:"yanked,omitempty"`
	RequiresPython string    `json:"requiresPython,omitempty"`
	Status         string    `json:"status,omitempty"`
	Provenance     string    `json:"provenance,omitempty"`
	ServedAt       time.Time `json:"servedAt"`
	// Metadata is true when only the core metadata file (PEP 658) was served.
	Metadata bool `json:"metadata,omitempty"`
}

// Interpreter is the user's Python, asked before anything untrusted ran.
type Interpreter struct {
	Executable   string            `json:"executable"` // sys.executable, resolved
	Prefix       string            `json:"prefix"`     // sys.base_prefix
	Version      string            `json:"version"`    // "3.11.7"
	Implement    string            `json:"implementation"`
	PipVersion   string            `json:"pipVersion"`
	Digest       DigestSet         `json:"digest,omitempty"`
	Platform     string            `json:"platform"`     // sysconfig.get_platform()
	MarkerEnv    map[string]string `json:"markerEnv"`    // PEP 508 environment markers
	SitePackages []string          `json:"sitePackages"` // of the environment, absolute inside the sandbox
}

// TreeChange is one difference between two trees.
type TreeChange struct {
	Path   string `json:"path"`
	Change string `json:"change"` // created, modified, deleted, mode, owner, type
}

// OutcomeStatus is how an attestor ended.
type OutcomeStatus string

// Outcomes of an attestor.
const (
	OutcomeOK      OutcomeStatus = "ok"
	OutcomeFailed  OutcomeStatus = "failed"
	OutcomeSkipped OutcomeStatus = "skipped"
)

// Outcome is the result of one attestor: the outcome/v0.1 predicate lists them.
type Outcome struct {
	Attestor string        `json:"attestor"`
	Status   OutcomeStatus `json:"status"`
	Error    string        `json:"error,omitempty"`
	Unmet    string        `json:"unmet,omitempty"` // what a skipped attestor would have needed
}
