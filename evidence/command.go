package evidence

import "time"

// DigestSet maps an algorithm to a digest: "sha256" and "sha1" to lower-case
// hex, "gitoid:sha1" and "gitoid:sha256" to a full gitoid URI without the
// "gitoid:" scheme doubled, e.g. "gitoid:blob:sha1:<hex>". An empty set means
// that the content was not read (for instance a failed open).
type DigestSet map[string]string

// CommandRun is one traced command: the command-run/v0.1 predicate.
type CommandRun struct {
	// Cmd is the argument vector that was started, credentials redacted.
	Cmd []string `json:"cmd"`
	// Stdout and Stderr are what the command printed, each cut at
	// Coverage.OutputLimit bytes (a cut is listed in Coverage.Limits).
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	// ExitCode is the command's own exit code, 128+signal when it was killed.
	ExitCode int `json:"exitcode"`
	// Processes holds one record per process (thread group), in order of first
	// sight; the command itself comes first.
	Processes []Process `json:"processes"`
	// Changes are the differences of the file tree before and after the command,
	// sorted by path: everything under the trail's roots and, in a sandbox, all that
	// was changed in directories of Coverage.Sandbox.Overlaid and in its TempDir. What
	// was cut is in Coverage.Limits as "changes". Absent when no second tree was taken.
	Changes []TreeChange `json:"changes,omitzero"`
	// Imports are the results of the import harness, in order; absent for other
	// commands.
	Imports []ImportResult `json:"imports,omitzero"`
	// Coverage says what could and could not be observed.
	Coverage Coverage `json:"coverage"`
}

// ImportResult is the import of one module by the import harness.
type ImportResult struct {
	Module      string `json:"module"`
	Environment string `json:"environment"` // plain or ci
	OK          bool   `json:"ok"`
	// Error is the exception's type and message, redacted and cut at 500 bytes;
	// empty when OK.
	Error string `json:"error,omitempty"`
}

// Process is one process (thread group). Program, Comm, Cmdline, Environ and
// ExeDigest describe the image it ran last; every image it ran is in Execs.
type Process struct {
	// Program is the resolved absolute path of the image.
	Program string `json:"program"`
	// ProcessID and ParentPID are numbers of the run's own pid namespace
	// (host numbers without a sandbox). ParentPID is 0 for the command itself.
	ProcessID int `json:"processid"`
	ParentPID int `json:"parentpid"`
	// ProgramDigest is the digest of the file named by Program, ExeDigest the
	// one of the mapped image (/proc/PID/exe); they differ for scripts.
	ProgramDigest DigestSet `json:"programdigest,omitempty"`
	Comm          string    `json:"comm"`
	// Cmdline is the argument vector joined by single spaces, credentials
	// redacted. Args is the same vector unjoined.
	Cmdline   string    `json:"cmdline"`
	Args      []string  `json:"args,omitempty"`
	ExeDigest DigestSet `json:"exedigest,omitempty"`
	// Environ is "NAME=VALUE" entries joined by spaces. Values are kept only
	// for names that cannot hold a secret (see RedactEnviron), else "NAME=<redacted>".
	Environ string `json:"environ,omitempty"`
	// StartTime is the time of the first sight of the process.
	StartTime time.Time `json:"starttime"`
	// ExitCode is nil when the exit was not seen (killed, or run ended first).
	ExitCode *int `json:"exitcode,omitempty"`
	// Role is what the process is in this run; see AssignRoles.
	Role Role `json:"role"`
	// Children are the process ids of direct children, ascending.
	Children []int `json:"children,omitempty"`
	// OpenedFiles maps the resolved absolute path of each file opened for
	// reading (or read and write) to its digest at open. A failed open of a
	// watched path (WatchedPath) is here too, with an empty DigestSet.
	OpenedFiles map[string]DigestSet `json:"openedfiles"`
	Network     Network              `json:"network"`
	FileOps     FileOps              `json:"fileOps"`
	// SyscallEvents are security-relevant calls; identical ones are kept once
	// with a count.
	SyscallEvents []SyscallEvent `json:"syscallEvents,omitempty"`
	// WrittenDigests maps paths written by this process to the digest of their
	// content after the whole process tree had ended.
	WrittenDigests map[string]DigestSet `json:"writtenDigests,omitempty"`
	// UnhashedOpens are opens whose content has no digest, and why.
	UnhashedOpens []UnhashedOpen `json:"unhashedOpens,omitempty"`
	// Execs are all attempts of execve and execveat, failed ones included.
	Execs []Exec `json:"execs,omitempty"`
	// SpecBypassIsVuln is kept for readers of the witness format; always false.
	SpecBypassIsVuln bool `json:"specbypassisvuln"`
}

// Role is what a process is within the run.
type Role string

// Roles. Everything below package code is package code.
const (
	RoleInstaller     Role = "installer"      // pip itself, and its own standalone child
	RoleBuildFrontend Role = "build-frontend" // pip's hook runner before a backend is loaded
	RoleBuildChild    Role = "build-child"    // a build backend, and all below it
	RolePackageCode   Role = "package-code"   // anything the above started that is none of them
	RoleImportHarness Role = "import-harness" // the interpreter that imports; it runs package code in process
	RoleCommand       Role = "command"        // the command of `run`, and all below it
)

// Exec is one attempt to run a program.
type Exec struct {
	// Program is the resolved path of the program; Argv its arguments, redacted.
	Program   string    `json:"program"`
	Argv      []string  `json:"argv"`
	Digest    DigestSet `json:"digest,omitempty"`
	Errno     string    `json:"errno,omitempty"`
	Truth     Truth     `json:"truth"`
	Timestamp time.Time `json:"timestamp"`
}

// Truth says where a recorded result comes from.
type Truth string

// Sources of results.
const (
	TruthEntry  Truth = "entry"  // from the arguments and the file system when the call was made
	TruthKernel Truth = "kernel" // from the call's own effect
)

// Network is what a process did with sockets.
type Network struct {
	Sockets     []Socket     `json:"sockets,omitempty"`
	Connections []Connection `json:"connections,omitempty"`
	DNSLookups  []DNSLookup  `json:"dnsLookups,omitempty"`
	// Flows are what was sent to addresses that the sandbox does not have; absent
	// without a sinkhole.
	Flows []Flow `json:"flows,omitempty"`
}

// Flow is one connection, or the datagrams of one process to one address, as the
// sinkhole received it. Nobody got what was sent, except for a relayed one.
type Flow struct {
	Protocol string `json:"protocol"` // tcp, udp
	Address  string `json:"address"`
	Port     int    `json:"port"`
	// Hostname is the name that was resolved to the address in this run, ServerName
	// the one of a TLS ClientHello, HTTPHost and HTTPRequest those of an HTTP/1
	// request; each is empty when there was none.
	Hostname    string `json:"hostname,omitempty"`
	ServerName  string `json:"serverName,omitempty"`
	HTTPHost    string `json:"httpHost,omitempty"`
	HTTPRequest string `json:"httpRequest,omitempty"`
	// Canaries are the paths and variables of decoys whose value was in what was
	// sent (as it is, in hexadecimal or in base64), sorted; absent when none was.
	Canaries []string `json:"canaries,omitempty"`
	// Bytes were received in all; FirstBytes are the first 512, base64, of a relayed
	// flow only when it is TLS: anything else may hold credentials.
	Bytes      int64  `json:"bytes"`
	FirstBytes string `json:"firstBytes,omitempty"`
	// Relayed is true when the flow was passed on to a host that the user allowed, or
	// was to be: Error says why it failed or broke. Received are the bytes that came
	// back. A repository that the index gateway asks has the gateway's address here,
	// and HTTPHost and HTTPRequest say what was asked outside.
	Relayed   bool      `json:"relayed,omitempty"`
	Received  int64     `json:"received,omitempty"`
	Error     string    `json:"error,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// Socket is a socket of an unusual family or type that was made.
type Socket struct {
	Family   string `json:"family"`
	Type     string `json:"type"`
	Protocol int    `json:"protocol"`
	FD       int    `json:"fd"`
}

// Connection is one connect, bind, listen, sendto, sendmsg or sendmmsg with an
// address. Family is AF_INET, AF_INET6, AF_UNIX, AF_NETLINK or AF_<n>. Address
// is an IP address without port, a socket path ("@name" when abstract), or the
// netlink protocol. Port is absent for families without one. Errno is empty
// when the call succeeded or its result is not known.
type Connection struct {
	Syscall   string    `json:"syscall"`
	Family    string    `json:"family"`
	Address   string    `json:"address"`
	Port      int       `json:"port,omitempty"`
	Type      string    `json:"type,omitempty"` // SOCK_STREAM, SOCK_DGRAM, …; empty when unknown
	FD        int       `json:"fd"`
	Errno     string    `json:"errno,omitempty"`
	Hostname  string    `json:"hostname,omitempty"`
	Count     int       `json:"count,omitempty"` // > 1 when identical calls were merged
	Timestamp time.Time `json:"timestamp"`
}

// DNSLookup is a datagram to, or connection with, a name server; Query and Type
// are what was asked, absent when only the contact was seen.
type DNSLookup struct {
	ServerAddress string `json:"serverAddress"`
	ServerPort    int    `json:"serverPort"`
	Query         string `json:"query,omitempty"`
	Type          string `json:"type,omitempty"`
	// Canaries are as in Flow, for the name that was asked.
	Canaries []string `json:"canaries,omitempty"`
}

// FileOps are the operations of a process on the file system, in order.
type FileOps struct {
	Opens       []Open       `json:"opens,omitempty"`
	Writes      []Write      `json:"writes,omitempty"`
	Renames     []Rename     `json:"renames,omitempty"`
	Deletes     []Delete     `json:"deletes,omitempty"`
	PermChanges []PermChange `json:"permChanges,omitempty"`
	Links       []Link       `json:"links,omitempty"`
	Dirs        []Dir        `json:"dirs,omitempty"`
}

// Open is one open, openat, openat2 or creat. Identical opens by one process
// are kept once with a count.
type Open struct {
	Path      string    `json:"path"` // resolved; as asked (made absolute) when it does not resolve
	Flags     string    `json:"flags"`
	Mode      string    `json:"mode"` // read, write, readwrite, exec, path, directory
	Errno     string    `json:"errno,omitempty"`
	Truth     Truth     `json:"truth"`
	Count     int       `json:"count,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// Write is a file opened for writing, created or truncated. Bytes is absent:
// write calls are not trapped.
type Write struct {
	Path      string    `json:"path"`
	Bytes     int64     `json:"bytes,omitempty"`
	Created   bool      `json:"created,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// Rename is a rename, renameat or renameat2.
type Rename struct {
	OldPath   string    `json:"oldPath"`
	NewPath   string    `json:"newPath"`
	Errno     string    `json:"errno,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// Delete is an unlink, unlinkat or rmdir.
type Delete struct {
	Path      string    `json:"path"`
	Errno     string    `json:"errno,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// PermChange is a chmod or chown. Mode is octal ("0755") or "uid:gid".
type PermChange struct {
	Path      string    `json:"path"`
	Mode      string    `json:"mode"`
	SetExec   bool      `json:"setExec"`
	Errno     string    `json:"errno,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// Link is a link or symlink. Target of a symlink is its text, unresolved.
type Link struct {
	Target    string    `json:"target"`
	Path      string    `json:"path"`
	Symbolic  bool      `json:"symbolic"`
	Errno     string    `json:"errno,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// Dir is a mkdir or mknod. Attempts of one process that failed in the same way are
// kept once with a count.
type Dir struct {
	Path      string    `json:"path"`
	Kind      string    `json:"kind"` // directory, fifo, socket, char, block, file
	Errno     string    `json:"errno,omitempty"`
	Count     int       `json:"count,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// SyscallEvent is a security-relevant call.
type SyscallEvent struct {
	Syscall    string    `json:"syscall"`
	Detail     string    `json:"detail"`
	Args       []uint64  `json:"args,omitempty"`
	Path       string    `json:"path,omitempty"`
	TargetPath string    `json:"targetPath,omitempty"`
	Refused    string    `json:"refused,omitempty"` // errno the supervisor answered with, when it refused
	Count      int       `json:"count,omitempty"`
	Timestamp  time.Time `json:"timestamp"`
}

// UnhashedOpen is an open whose content was not digested.
type UnhashedOpen struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Coverage is what the capture could and could not observe.
type Coverage struct {
	// Backend is the capture backend: "seccomp-notify".
	Backend string `json:"backend"`
	// Complete is false when anything was lost or cut; Losses and Limits say what.
	Complete bool `json:"complete"`
	// Trapped are the system calls that were observed, sorted.
	Trapped []string `json:"trapped"`
	// NotTrapped names classes of behaviour that this backend does not observe.
	NotTrapped []string `json:"notTrapped"`
	// Losses counts events that could not be recorded, by class.
	Losses map[string]int `json:"losses"`
	// Limits are the limits that cut something.
	Limits []Limit `json:"limits"`
	// Refusals counts calls that the supervisor refused, by system call.
	Refusals map[string]int `json:"refusals"`
	// Events is the number of system calls observed.
	Events int `json:"events"`
	// Architecture is the system call table in use: "amd64", "arm64".
	Architecture string `json:"architecture"`
	// Kernel is the kernel release.
	Kernel string `json:"kernel"`
	// Lingered says how long each import was watched after its last module.
	Lingered []Lingered `json:"lingered,omitempty"`
	// NoModules are requested distributions that ship no module, sorted.
	NoModules []string `json:"noModules,omitempty"`
	// Sandbox says how the command was confined.
	Sandbox Sandbox `json:"sandbox"`
}

// Decoy is a fake credential, a file or an environment variable, with a value
// that is unique to the run. The value opens nothing; where it shows up, the decoy
// was taken.
type Decoy struct {
	Path     string `json:"path,omitempty"` // absolute, inside the sandbox
	Variable string `json:"variable,omitempty"`
	Canary   string `json:"canary"`
}

// Lingered is the time that one run of the import harness was watched after its
// last import. Busy tells that threads or processes were still at work then.
type Lingered struct {
	Environment  string `json:"environment"`
	Milliseconds int64  `json:"milliseconds"`
	Busy         bool   `json:"busy"`
}

// Limit is a bound that was reached.
type Limit struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
	Unit  string `json:"unit"`
}

// Sandbox is how the command was confined, and where its world was.
type Sandbox struct {
	// Kind is "namespaces" or "none".
	Kind       string   `json:"kind"`
	Namespaces []string `json:"namespaces,omitempty"`
	// Network is "index", "none", "host-unsafe" or "host" (no sandbox).
	Network string `json:"network"`
	// Home, Prefix, TempDir, WorkDir are absolute paths inside the sandbox;
	// Prefix is the environment that was installed into or imported from.
	Home    string `json:"home"`
	Prefix  string `json:"prefix,omitempty"`
	TempDir string `json:"tempDir,omitempty"`
	WorkDir string `json:"workDir,omitempty"`
	// SitePackages are the site directories of the environment.
	SitePackages []string `json:"sitePackages,omitempty"`
	// BasePrefixes are the trusted interpreter's own prefixes (sys.base_prefix …).
	BasePrefixes []string `json:"basePrefixes,omitempty"`
	// Gateway is the "host:port" of the index gateway inside the sandbox.
	Gateway string `json:"gateway,omitempty"`
	// IndexHosts are the hosts of the package indexes that the installer knows, its own
	// default and the user's, whether or not this run asks them; sorted, absent without any.
	IndexHosts []string `json:"indexHosts,omitempty"`
	// AllowedHosts are the hosts, "name" or "name:port", that the installer's own
	// connections are passed on to; absent without any.
	AllowedHosts []string `json:"allowedHosts,omitempty"`
	// Decoys are the fake credentials that were planted; absent without any.
	Decoys []Decoy `json:"decoys,omitempty"`
	// Resolver is the address of the sandbox's own name server; empty without one.
	Resolver string `json:"resolver,omitempty"`
	// ReadOnly are paths that cannot be changed inside, "/" standing for its own
	// entries; Overlaid are those that can, the host's directories and those of users,
	// which start empty: each change lands in a throw-away layer and in Changes.
	// Writable are throw-away paths that start empty or with the environment. Each holds for what lies below, up to a longer path of
	// another list. All are sorted but Writable.
	ReadOnly []string `json:"readOnly,omitempty"`
	Overlaid []string `json:"overlaid,omitempty"`
	Writable []string `json:"writable,omitempty"`
	// Missing are protections that this sandbox does not give.
	Missing []string `json:"missing,omitempty"`
}
