package pipinstall

import (
	"pip-witness/internal/history"
	"pip-witness/internal/typosquat"
)

// Predicate is the pip-install/v0.1 predicate. Field names of the first level
// and of the older parts are those of the aflock attestation of this type;
// fields were added, none renamed. An empty list means that nothing was found
// where all was looked at: what was not looked at is in NotExamined.
type Predicate struct {
	// PipVersion and PythonVersion are of the user's interpreter ("23.2.1",
	// "3.11.7"); empty when the step did not ask it.
	PipVersion    string `json:"pipVersion"`
	PythonVersion string `json:"pythonVersion"`
	// Packages are the distributions installed in the environment, sorted by
	// normalised name.
	Packages []Package `json:"packages"`
	// SetupPyAnalysis has one entry for each Python file of a source that runs in
	// its build and could be read: setup.py, in-tree backends, hooks that a
	// configuration names.
	SetupPyAnalysis []SetupPy `json:"setupPyAnalysis"`
	// TotalInstalled is the number of Packages.
	TotalInstalled int `json:"totalInstalled"`
	// InstalledFileAnalysis is nil when no site directory could be walked.
	InstalledFileAnalysis *InstalledFiles `json:"installedFileAnalysis,omitempty"`
	// PyprojectAnalysis has one entry for each pyproject.toml and setup.cfg that
	// could be read.
	PyprojectAnalysis []Pyproject `json:"pyprojectAnalysis"`
	// PEP740Verification has one entry for each package from an index.
	PEP740Verification []PEP740 `json:"pep740Verification"`
	// TrustedRoot is what their attestations were verified against; nil when no index
	// offered one.
	TrustedRoot *TrustedRoot `json:"trustedRoot,omitempty"`
	// IndexHistory has one entry for each package from an index: what the index's
	// page of the project says of this release among the others.
	IndexHistory []history.Facts `json:"indexHistory"`
	// SimilarNames are the packages whose names are like those of widely known
	// projects, sorted; PopularNames is the list that they were compared with.
	SimilarNames []SimilarName `json:"similarNames"`
	PopularNames PopularNames  `json:"popularNames"`
	// Sites are the site directories that were read, absolute inside the sandbox.
	Sites []string `json:"sites"`
	// Sources is where the installer was told to look for distributions; nil when no
	// installation was recorded.
	Sources *Sources `json:"sources,omitempty"`
	// NotInstalled are distribution files that were given or downloaded and that no
	// installed distribution came from: what a build needed, and what the installer
	// refused or did not get to. In the order in which they came.
	NotInstalled []Candidate `json:"notInstalled,omitempty"`
	// MissingRequirements are requirements in force whose project is not
	// installed, as "project: requirement", sorted.
	MissingRequirements []string `json:"missingRequirements,omitempty"`
	// Problems are metadata that could not be read or understood, sorted.
	Problems []string `json:"problems,omitempty"`
	// NotExamined is what this attestor did not look at, and why.
	NotExamined []NotExamined `json:"notExamined"`
}

// NotExamined is something that was not looked at.
type NotExamined struct {
	// What is a field of the predicate, with the package or file it concerns.
	What string `json:"what"`
	Why  string `json:"why"`
}

// Package is one installed distribution.
type Package struct {
	// Name and Version are as in its metadata.
	Name    string `json:"name"`
	Version string `json:"version"`
	// InstallType is wheel, sdist (everything that was built here, directories
	// and checkouts included) or editable; empty when the origin is not known.
	InstallType string `json:"installType"`
	// Location is the site directory, absolute inside the sandbox.
	Location string `json:"location"`
	// Requires are the normalised names of the projects that its requirements
	// name in this environment with the extras asked for, RequiredBy those of
	// the installed projects that name it; sorted.
	Requires   []string `json:"requires"`
	RequiredBy []string `json:"requiredBy"`
	HomePage   string   `json:"homePage,omitempty"`
	Author     string   `json:"author,omitempty"`
	// License is the SPDX expression, else the first line of the licence field,
	// else what the licence classifiers name.
	License string `json:"license,omitempty"`
	// HasSetupPy and HasCmdClass say, for what was built here, whether there was
	// a setup.py and whether it replaces installer commands; absent when it is
	// not known.
	HasSetupPy  *bool `json:"hasSetupPy,omitempty"`
	HasCmdClass *bool `json:"hasCmdClass,omitempty"`
	// Installer is the content of INSTALLER.
	Installer string `json:"installer,omitempty"`
	// Requested is true for what the user named.
	Requested bool `json:"requested"`
	// Extras are the normalised extras with which it was asked for.
	Extras []string `json:"extras,omitempty"`
	// Files is the distribution file it was installed from; empty for a
	// directory, a checkout or an unknown origin.
	Files []File `json:"files"`
	// DirectURL is the URL of a direct requirement, without credentials. VCS is the
	// version control system of a checkout ("git"), Commit its commit and
	// RequestedRevision the branch, tag or commit that the user named; all as the
	// installer reports them (PEP 610), empty for other origins.
	DirectURL         string `json:"directUrl,omitempty"`
	VCS               string `json:"vcs,omitempty"`
	Commit            string `json:"commit,omitempty"`
	RequestedRevision string `json:"requestedRevision,omitempty"`
	// Summary, AuthorEmail, Maintainer, MaintainerEmail, RequiresPython, RequiresDist, ProjectURLs and
	// Classifiers are as in the metadata.
	Summary         string            `json:"summary,omitempty"`
	AuthorEmail     string            `json:"authorEmail,omitempty"`
	Maintainer      string            `json:"maintainer,omitempty"`
	MaintainerEmail string            `json:"maintainerEmail,omitempty"`
	RequiresPython  string            `json:"requiresPython,omitempty"`
	RequiresDist    []string          `json:"requiresDist,omitempty"`
	ProjectURLs     map[string]string `json:"projectUrls,omitempty"`
	Classifiers     []string          `json:"classifiers,omitempty"`
	// ImportNames are the modules it offers for import, main ones first.
	ImportNames []string `json:"importNames"`
	// EntryPoints are the console and GUI scripts, as "name = module:object".
	EntryPoints []string `json:"entryPoints,omitempty"`
	// Generator and Tags are from WHEEL: what built it, and for what.
	Generator string   `json:"generator,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	// RecordedFiles is the number of files in RECORD; 0 without a RECORD.
	RecordedFiles int `json:"recordedFiles"`
	// Requirements are RequiresDist with their markers decided, in order; absent
	// where the marker environment is not known.
	Requirements []Requirement `json:"requirements,omitempty"`
	// RecordCheck is nil without a RECORD or without a walk of the tree.
	RecordCheck *RecordCheck `json:"recordCheck,omitempty"`
	// WheelStructure is nil for what did not come as a wheel, and where the wheel
	// is not at hand.
	WheelStructure *WheelStructure `json:"wheelStructure,omitempty"`
	// SourceComparison is nil for what was not built here from an sdist at hand.
	SourceComparison *SourceComparison `json:"sourceComparison,omitempty"`
	// Shadows are names of it that stand for something else: see Shadow.
	Shadows []Shadow `json:"shadows,omitempty"`
	// OfferedBy are the indexes whose pages list files of the project, in order, as in
	// Sources; empty when no index was asked for it.
	OfferedBy []Offer `json:"offeredBy,omitempty"`
}

// Requirement is one requirement of a distribution.
type Requirement struct {
	// Text is as in the metadata, Project the normalised name in it.
	Text    string `json:"text"`
	Project string `json:"project"`
	// InForce says whether its marker holds in this environment, with the extras
	// that were asked for.
	InForce bool `json:"inForce"`
	// Installed is the version of the project that is installed, empty for none.
	Installed string `json:"installed,omitempty"`
}

// File is a distribution file.
type File struct {
	Filename string `json:"filename"`
	SHA256   string `json:"sha256,omitempty"`
	// URL is the true location without credentials; Index the index that offered
	// it, empty for a direct URL or a local file.
	URL   string `json:"url,omitempty"`
	Index string `json:"index,omitempty"`
	Size  int64  `json:"size,omitempty"` // bytes
	// UploadTime and Yanked are what the index said; empty when it said nothing.
	UploadTime string `json:"uploadTime,omitempty"`
	Yanked     string `json:"yanked,omitempty"`
	// ProjectStatus is the status of the project (PEP 792) when the file was served.
	ProjectStatus string `json:"projectStatus,omitempty"`
	// Witnessed is true when the digest was computed outside the sandbox over the
	// bytes that were installed; false when the installer claims it.
	Witnessed bool `json:"witnessed"`
}

// SetupPy is what static reading of one setup.py shows. Lists are of
// "line N: what", in order of the lines.
type SetupPy struct {
	// Path is the file within its distribution file or directory; Package the
	// normalised name of the distribution.
	Path    string `json:"path"`
	Package string `json:"package"`
	// SuspiciousCalls are calls of dynamic code, processes, decoders, network.
	SuspiciousCalls []string `json:"suspiciousCalls"`
	NetworkImports  []string `json:"networkImports"`
	// EncodedPayloads is true when a literal of 200 or more characters looks like
	// base64 or hex; EncodedLines says where.
	EncodedPayloads bool     `json:"encodedPayloads"`
	EncodedLines    []string `json:"encodedLines,omitempty"`
	// FileOperations are writes, removals and literals that name sensitive paths.
	FileOperations []string `json:"fileOperations"`
	// Role is setup.py, build backend or build hook.
	Role string `json:"role"`
	// Obfuscation is what hides what it does, as "line N: kind: what"; kinds as in
	// InstalledFiles.
	Obfuscation []string `json:"obfuscation,omitempty"`
}

// InstalledFiles is what static reading of the installed files shows. Entries
// of the first three lists are "absolute path:line: what"; "(in a function)"
// marks what does not run at import.
type InstalledFiles struct {
	// SuspiciousImports are uses of interpreter hooks (sys.meta_path,
	// atexit.register, …) in any module.
	SuspiciousImports []string `json:"suspiciousImports"`
	// SubprocessInInit are calls in __init__.py that start a process,
	// NetworkInInit imports in it of network modules.
	SubprocessInInit []string `json:"subprocessInInit"`
	NetworkInInit    []string `json:"networkInInit"`
	// PickleFiles are files with a pickle's name or first bytes, absolute.
	PickleFiles []string `json:"pickleFiles"`
	// PickleAnalysis has one entry a pickle stream.
	PickleAnalysis []Pickle `json:"pickleAnalysis"`
	// PthFiles are the files that the interpreter reads at every start.
	PthFiles []PthFile `json:"pthFiles"`
	// StartupModules are sitecustomize and usercustomize modules, absolute paths.
	StartupModules []string `json:"startupModules"`
	// UnownedFiles are files of the site directories that no RECORD lists (byte
	// code aside), absolute, sorted.
	UnownedFiles []string `json:"unownedFiles"`
	// ImportTime are the calls in any module that run when it is imported and start
	// a process or use the network; kinds: process, network, socket (one is made,
	// nothing is contacted).
	ImportTime []SourceFact `json:"importTime"`
	// Obfuscation is what hides what a module does. Kinds that honest code does not
	// need: exec-decoded, hidden-code, compatibility-name, lookalike-name,
	// escaped-name, computed-name. Kinds that it has at times: dynamic-builtin,
	// decoder-chain, marshal, dense-literal, encoded-literal, long-line.
	Obfuscation []SourceFact `json:"obfuscation"`
	// NativeLibraries has one entry for each ELF file.
	NativeLibraries []NativeLibrary `json:"nativeLibraries"`
	// ByteCode are compiled files that the interpreter runs without a look at their
	// source, or that the installer did not make.
	ByteCode []ByteCode `json:"byteCode"`
	// TotalPyFiles is the number of .py files read; TotalFiles of all files seen.
	TotalPyFiles int `json:"totalPyFiles"`
	TotalFiles   int `json:"totalFiles"`
}

// ByteCode is one compiled Python file. Its code is not read.
type ByteCode struct {
	// Path is absolute; Package the normalised name of the distribution whose RECORD
	// lists it, empty for none.
	Path    string `json:"path"`
	Package string `json:"package,omitempty"`
	// Why is no-source (there is none beside it), unchecked (PEP 552: it is valid
	// whatever the source says), shipped (RECORD has its digest: the distribution
	// brought it) or unreadable.
	Why []string `json:"why"`
}

// SourceFact is one place in an installed Python file.
type SourceFact struct {
	// Path is absolute; Line counts from 1.
	Path string `json:"path"`
	Line int    `json:"line"`
	// Package is the normalised name of the distribution whose RECORD lists the
	// file, empty when none does.
	Package string `json:"package,omitempty"`
	Kind    string `json:"kind"`
	What    string `json:"what"`
	// Deferred is true for what does not run when the file is imported: in a
	// function, or behind if __name__ == "__main__" and the like.
	Deferred bool `json:"deferred,omitempty"`
	// Through is the function by whose call, at the level of the module, it runs.
	Through string `json:"through,omitempty"`
}

// Pickle is what the opcodes of one pickle file do, found without loading it.
type Pickle struct {
	// Path is absolute; a member of an archive is "archive!member".
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes
	// HasReduce, HasGlobal, HasInst and HasStack say whether REDUCE, GLOBAL, INST
	// and STACK_GLOBAL occur.
	HasReduce bool `json:"hasReduce"`
	HasGlobal bool `json:"hasGlobal"`
	HasInst   bool `json:"hasInst"`
	HasStack  bool `json:"hasStack"`
	// DangerousOps are the opcodes that import or call, GlobalRefs the
	// "module.name" that are imported, in order of first use.
	DangerousOps []string `json:"dangerousOps"`
	GlobalRefs   []string `json:"globalRefs"`
	// DangerousGlobals are those of GlobalRefs that run code or commands or reach
	// files, the network or other modules, sorted; "?.?" is one whose name could not
	// be followed.
	DangerousGlobals []string `json:"dangerousGlobals,omitempty"`
	// IsSafe is true when the file was read to its end and every global is one
	// that builds plain data.
	IsSafe bool `json:"isSafe"`
	// Error is why the file could not be read to its end.
	Error string `json:"error,omitempty"`
}

// PthFile is one .pth (or .start) file of a site directory.
type PthFile struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256,omitempty"`
	// Owner is the normalised name of the distribution whose RECORD lists it,
	// empty when none does.
	Owner string `json:"owner,omitempty"`
	// ExecutableLines are the lines that the interpreter executes, PathLines the
	// ones it adds to the module path, each cut at 2,000 characters.
	ExecutableLines []PthLine `json:"executableLines"`
	PathLines       []string  `json:"pathLines,omitempty"`
	// Error is why it could not be read.
	Error string `json:"error,omitempty"`
}

// PthLine is one executable line, and the calls in it with resolved names.
type PthLine struct {
	Line  int      `json:"line"`
	Text  string   `json:"text"`
	Calls []string `json:"calls,omitempty"`
	// Obfuscation is what hides what the line does, as "kind: what", 50 at most.
	Obfuscation []string `json:"obfuscation,omitempty"`
}

// Pyproject is the build system that one pyproject.toml names.
type Pyproject struct {
	// Package is the normalised name of the distribution, Path the file in it.
	Package string `json:"package"`
	Path    string `json:"path"`
	// BuildBackend is empty when the file names none: setuptools is used then.
	BuildBackend  string   `json:"buildBackend"`
	BuildRequires []string `json:"buildRequires"`
	// BackendPath is where an in-tree backend lies.
	BackendPath []string `json:"backendPath,omitempty"`
	// IsCustomBackend is true for a backend of the project itself, or one that
	// is not widely known.
	IsCustomBackend bool `json:"isCustomBackend"`
	// CmdClass are the commands of setuptools that the configuration replaces,
	// Hooks the code of the project's own that a backend is told to run, as
	// "backend: name or file".
	CmdClass []string `json:"cmdClass,omitempty"`
	Hooks    []string `json:"hooks,omitempty"`
	// UnknownRequires are the normalised names in BuildRequires that are not on the
	// list of widely known projects, Similar those of them that are like one on it.
	UnknownRequires []string      `json:"unknownRequires,omitempty"`
	Similar         []SimilarName `json:"similar,omitempty"`
	Error           string        `json:"error,omitempty"`
}

// PEP740 is what is known of the publish attestations of one distribution file.
type PEP740 struct {
	Package string `json:"package"`
	Version string `json:"version"`
	// Filename is the distribution file.
	Filename string `json:"filename,omitempty"`
	// HasAttestation is true when the index offers attestations; it does not say
	// that they were verified: Status does.
	HasAttestation bool   `json:"hasAttestation"`
	AttestationURL string `json:"attestationUrl,omitempty"`
	// Status is "verified" when at least one attestation was and none is invalid,
	// "invalid", "not offered", or "not evaluated"; Reason says why for the others.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// The fields below are of the first verified attestation; empty otherwise.
	// Environment is the index's word: no certificate states it.
	PublisherKind  string `json:"publisherKind,omitempty"`
	Repository     string `json:"repository,omitempty"`
	Workflow       string `json:"workflow,omitempty"`
	Environment    string `json:"environment,omitempty"`
	SignerIdentity string `json:"signerIdentity,omitempty"`
	// Attestations has one entry for each attestation, in the index's order.
	Attestations []Attestation `json:"attestations,omitempty"`
	// Earlier compares with the last three releases before this one that have files;
	// absent when the index's page is not known.
	Earlier *Earlier `json:"earlier,omitempty"`
}

// Attestation is the judgement of one attestation. What the certificate states is
// empty unless its signature was verified, whatever the status is.
type Attestation struct {
	Status        string `json:"status"` // verified, invalid, not evaluated
	Reason        string `json:"reason,omitempty"`
	PredicateType string `json:"predicateType,omitempty"`
	// Publisher is who the index names: "GitHub owner/name workflow.yml".
	Publisher  string `json:"publisher,omitempty"`
	Issuer     string `json:"issuer,omitempty"`
	Identity   string `json:"identity,omitempty"`
	Repository string `json:"repository,omitempty"`
	Workflow   string `json:"workflow,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Run        string `json:"run,omitempty"`
	// LoggedAt is when the transparency log entered it, RFC 3339.
	LoggedAt string `json:"loggedAt,omitempty"`
	// Failed is the clause that an invalid one fails: object, signature, digest (it is
	// about other bytes), statement, name (about another file), publisher.
	Failed string `json:"failed,omitempty"`
}

// Earlier compares a file with those of earlier releases.
type Earlier struct {
	// Releases are those that were compared, the nearest first; empty for the first
	// release.
	Releases []EarlierRelease `json:"releases"`
	// AttestationMissing is true when this file has no attestation and one of the
	// earlier releases has.
	AttestationMissing bool `json:"attestationMissing"`
	// PublisherChanged is true when the nearest earlier release with a verified
	// attestation was signed by another issuer, repository or account; OwnerChanged when
	// that is not one of the same owner. A repository that was renamed or moved is the
	// same one. Changes says what differs, also in the names and in the workflow.
	PublisherChanged bool     `json:"publisherChanged"`
	OwnerChanged     bool     `json:"ownerChanged,omitempty"`
	Changes          []string `json:"changes,omitempty"`
}

// EarlierRelease is one file of an earlier release.
type EarlierRelease struct {
	Version    string `json:"version"`
	Filename   string `json:"filename"`
	UploadTime string `json:"uploadTime,omitempty"`
	// Status is as in PEP740, or "offered" when it was not asked for, because this
	// file has nothing to compare it with.
	Status        string `json:"status"`
	Reason        string `json:"reason,omitempty"`
	PublisherKind string `json:"publisherKind,omitempty"`
	Repository    string `json:"repository,omitempty"`
	Workflow      string `json:"workflow,omitempty"`
	// Size is in bytes, as the index says; 0 when it does not.
	Size int64 `json:"size,omitempty"`
}

// SimilarName is a package and the widely known projects that its name is like.
type SimilarName struct {
	Package string            `json:"package"`
	Matches []typosquat.Match `json:"matches"`
}

// PopularNames is a list of names of widely known projects.
type PopularNames struct {
	// Shipped is true for the list that this program ships.
	Shipped bool `json:"shipped"`
	Count   int  `json:"count"`
}

// TrustedRoot is what attestations were verified against.
type TrustedRoot struct {
	// Shipped is true for the one that this program ships, SHA256 of its bytes.
	Shipped bool   `json:"shipped"`
	SHA256  string `json:"sha256"`
}
