package check

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/attest/catalogue"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
	"pip-witness/internal/walk"
)

// harness is the program that imports; it is shown inside at harnessPath.
//
//go:embed harness.py
var harness []byte

const harnessPath = "/run/pip-witness/import.py"

// Environments of the import step.
const (
	environmentPlain = "plain"
	environmentCI    = "ci"
)

// lingerPoll is how often the threads and processes of an import are looked at.
const lingerPoll = 50 * time.Millisecond

// maxResult bounds one line of the harness.
const maxResult = 64 << 10 // 64 KiB

// conversation follows one run of the harness: it takes its results, and after
// the last import waits until nothing is at work inside any more before it lets
// the interpreter end.
type conversation struct {
	environment string
	modules     []string
	linger      time.Duration
	inside      func() []int // processes inside, as their own numbers; init is 1

	mu      sync.Mutex
	results []evidence.ImportResult
	waited  time.Duration
	cut     bool // something was still at work at the limit
}

// follow is a step.Command's Results.
func (c *conversation) follow(ctx context.Context, socket *os.File, root func() int) {
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	lines := bufio.NewScanner(socket)
	lines.Buffer(nil, maxResult)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\x00")
		switch {
		case fields[0] == "ok" && len(fields) == 2:
			c.add(evidence.ImportResult{Module: fields[1], OK: true})
		case fields[0] == "error" && len(fields) == 3:
			c.add(evidence.ImportResult{Module: fields[1], Error: evidence.RedactText(fields[2], nil)})
		case fields[0] == "done":
			c.waitIdle(ctx, root)
			// A write that fails means that the harness ended by itself.
			_, _ = socket.Write([]byte{'\n'})
			return
		}
	}
}

func (c *conversation) add(r evidence.ImportResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.results) < len(c.modules) { // a package may write here too
		r.Environment = c.environment
		c.results = append(c.results, r)
	}
}

// outcome is one result a module; what the harness did not report was not
// imported, because the run ended before.
func (c *conversation) outcome(ended string) []evidence.ImportResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	reported := map[string]evidence.ImportResult{}
	for _, r := range c.results {
		reported[r.Module] = r
	}
	all := make([]evidence.ImportResult, 0, len(c.modules))
	for _, m := range c.modules {
		r, ok := reported[m]
		if !ok {
			r = evidence.ImportResult{Module: m, Environment: c.environment,
				Error: "not imported: " + ended}
		}
		all = append(all, r)
	}
	return all
}

// waitIdle waits, at most for the linger time, until no other process and no
// thread is at work.
func (c *conversation) waitIdle(ctx context.Context, root func() int) {
	start := time.Now()
	for {
		busy := c.busy(root())
		waited := time.Since(start)
		if !busy || waited >= c.linger {
			c.mu.Lock()
			c.waited, c.cut = waited, busy
			c.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lingerPoll):
		}
	}
}

// busy tells whether, besides the main thread of the interpreter, a thread is at
// work or sleeps for a while, or another process is there. A thread that waits
// for ever for something that the main thread would have to do (the idle workers
// of a numerical library) is not at work.
func (c *conversation) busy(pid int) bool {
	if pid == 0 {
		return false
	}
	if len(c.inside()) > 2 { // init and the interpreter
		return true
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false
	}
	for _, t := range tasks {
		if t.Name() == strconv.Itoa(pid) {
			continue
		}
		call, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", pid, t.Name()))
		if err == nil && !waitsForEver(string(call)) {
			return true
		}
	}
	return false
}

// waitsForEver tells from the text of /proc/PID/task/TID/syscall (number, then
// six arguments in hexadecimal) whether the thread blocks without a time limit.
func waitsForEver(call string) bool {
	fields := strings.Fields(call)
	if len(fields) < 7 {
		return false // running
	}
	number, err := strconv.Atoi(fields[0])
	if err != nil {
		return false
	}
	forever := func(arg int) bool { return fields[1+arg] == "0x0" }
	endless := func(arg int) bool { // -1 as an int
		value, err := strconv.ParseUint(strings.TrimPrefix(fields[1+arg], "0x"), 16, 64)
		return err == nil && int32(value) == -1
	}
	switch number {
	case unix.SYS_FUTEX:
		return forever(3)
	case unix.SYS_EPOLL_PWAIT:
		return endless(3)
	case unix.SYS_PPOLL:
		return forever(2)
	case unix.SYS_READ, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_ACCEPT4, unix.SYS_ACCEPT, unix.SYS_RT_SIGTIMEDWAIT:
		return true
	}
	return waitsForEverLegacy(number, endless)
}

// processes lists those of a step, init included.
func (c *run) processes(init int) []int {
	if !c.world.box {
		return append(sandbox.Descendants(init), init)
	}
	return processesInside(init)
}

// processesInside lists the process ids of a sandbox, from its own /proc.
func processesInside(init int) []int {
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(init), "root/proc"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// importStep imports the modules in each environment, on an overlay of what was
// installed, so that the tree of the first step stays as it was.
func (c *run) importStep(ctx context.Context, modules, without []string) (*StepEvidence, error) {
	spec, harnessPath, err := c.importSpec()
	if err != nil {
		return nil, err
	}
	var commands []step.Command
	var talks []*conversation
	var init int
	for _, name := range c.ImportEnvironments {
		talk := &conversation{environment: name, modules: modules, linger: c.Linger, inside: func() []int { return c.processes(init) }}
		talks = append(talks, talk)
		environ := append(c.world.watchedEnvironment(c.Environ), "VIRTUAL_ENV="+c.world.prefix)
		if name == environmentCI {
			environ = append(environ, ciVariables()...)
		}
		commands = append(commands, step.Command{
			Command: sandbox.Command{
				Args: append([]string{c.world.prefix + "/bin/python", harnessPath}, modules...), Env: environ, Dir: c.world.work,
			},
			Results: talk.follow,
		})
	}
	trace := step.Trace{
		Spec: spec, Timeout: c.Timeout, Linger: c.Linger, Watched: c.watched, Digests: c.digests, Secrets: c.secrets(), EveryCommand: true,
		Limits:   limits(c.world.dir),
		Progress: func(calls int) { c.tell("import", "import "+strings.Join(modules, " ")+", traced", calls) },
		Before: func(pid int) error {
			init = pid
			return nil
		},
		Commands: commands,
	}
	sinkhole := c.sink(&trace)
	recording, err := trace.Run(ctx)
	if err != nil {
		return nil, err
	}
	command := &recording.Command
	addEgress(command, sinkhole, nil)
	command.Coverage.Sandbox = c.world.sandboxFacts(command.Coverage.Sandbox, c.importNetwork(), c.gateway.Addr(), spec.Binds, recording.Layers)
	command.Coverage.Sandbox.IndexHosts = c.indexHosts()
	after, err := c.imported(ctx, recording.Layers)
	if err != nil {
		return nil, err
	}
	layers := c.changed(recording.Layers, sandbox.Layer{Path: c.world.temp, Upper: c.world.host(dirImport, "tmp"), Mode: temporaryMode})
	if err := addChanges(ctx, recording, c.installed, after, layers, c.hashes); err != nil {
		return nil, err
	}
	evidence.AssignRoles(command, evidence.StepImport)
	c.judgeImports(recording, talks, without)
	in := &attest.Input{
		Step: StepImport, Command: *command, Started: recording.Started, Finished: recording.Finished,
		Install: c.install, Before: c.installed, After: after, Layout: c.world.layout(), Builder: c.Builder, Environ: c.Environ,
	}
	collection, err := step.Attest(ctx, in, catalogue.Import(), c.subjects(*command))
	if err != nil {
		return nil, err
	}
	return &StepEvidence{StepImport, collection, *command}, nil
}

// importNetwork is the network of the import step: never an index.
func (c *run) importNetwork() string {
	if c.Network == NetworkHost {
		return NetworkHost
	}
	return NetworkNone
}

// importSpec is the world of the import step, and where in it the harness is.
func (c *run) importSpec() (sandbox.Spec, string, error) {
	if !c.world.box {
		path := c.world.host(dirInputs, "import.py")
		if err := os.WriteFile(path, harness, 0o444); err != nil {
			return sandbox.Spec{}, "", fmt.Errorf("place the import harness: %w", err)
		}
		return sandbox.Spec{HostNetwork: true}, path, nil
	}
	spec := sandbox.Spec{
		Namespaces: true, HostNetwork: c.Network == NetworkHost, Everywhere: true,
		RootDir: c.world.host(dirImport, "root"), Hidden: c.world.hidden(), Hostname: "localhost",
		Layers: c.world.layers(StepImport, c.layers),
		Overlays: []sandbox.Overlay{{
			Lower: c.world.host(dirHome), Upper: c.world.host(dirImport, "upper"), Work: c.world.host(dirImport, "work"), Target: c.world.home,
		}},
		Binds: []sandbox.Bind{{Source: c.world.host(dirImport, "tmp"), Target: tempDir, Writable: true}},
		Files: map[string][]byte{harnessPath: harness},
	}
	projects, err := c.importedProjects()
	if err != nil {
		return sandbox.Spec{}, "", err
	}
	spec.Overlays = append(spec.Overlays, projects...)
	return spec, harnessPath, c.addBinds(&spec)
}

// importedProjects shows local project directories as the installation left them.
func (c *run) importedProjects() ([]sandbox.Overlay, error) {
	var overlays []sandbox.Overlay
	for i, o := range c.inputs.overlays {
		dir := c.world.host(dirImport, "source", strconv.Itoa(i))
		next := sandbox.Overlay{Lower: o.Lower, Below: []string{o.Upper}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), Target: o.Target}
		copied := func(l sandbox.Layer) bool { return l.Path == o.Target && l.Whole }
		if slices.ContainsFunc(c.layers, copied) {
			next.Lower, next.Below = o.Upper, nil
		}
		for _, d := range []string{next.Upper, next.Work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return nil, fmt.Errorf("place project %q: %w", o.Target, err)
			}
		}
		overlays = append(overlays, next)
	}
	return overlays, nil
}

// judgeImports puts the results of the harness into the record. A run in which
// no module could be imported observed nothing of what an import does.
func (c *run) judgeImports(recording *step.Recording, talks []*conversation, without []string) {
	command := &recording.Command
	command.Imports = []evidence.ImportResult{}
	imported, total := 0, 0
	for _, t := range talks {
		ended := fmt.Sprintf("the interpreter ended with status %d", command.ExitCode)
		if recording.TimedOut {
			ended = fmt.Sprintf("it did not end within %s", c.Timeout)
		}
		for _, r := range t.outcome(ended) {
			total++
			if r.OK {
				imported++
			} else {
				c.observed.Problems = append(c.observed.Problems, fmt.Sprintf("import %s (%s): %s", r.Module, r.Environment, r.Error))
			}
			command.Imports = append(command.Imports, r)
		}
		command.Coverage.Lingered = append(command.Coverage.Lingered, t.lingered())
	}
	command.Coverage.NoModules = without
	if total > 0 && imported == 0 {
		command.Coverage.Losses["imports"] = total
		command.Coverage.Complete = false
	}
	if recording.TimedOut {
		c.observed.Problems = append(c.observed.Problems, fmt.Sprintf("the import was ended after %s (--timeout)", c.Timeout))
	}
}

// lingered is how long this run of the harness was watched after its imports.
func (c *conversation) lingered() evidence.Lingered {
	c.mu.Lock()
	defer c.mu.Unlock()
	return evidence.Lingered{Environment: c.environment, Milliseconds: c.waited.Milliseconds(), Busy: c.cut}
}

// imported is the tree after the import: the tree before it with what the
// overlay's upper layer holds laid over it. Where there was no overlay it is walked
// as a whole.
func (c *run) imported(ctx context.Context, layers []sandbox.Layer) (*evidence.Tree, error) {
	if !c.world.box {
		return c.walk(ctx)
	}
	upper, err := walk.Tree(ctx, c.world.changes(), []string{c.world.home}, c.hashes)
	if err != nil {
		return nil, err
	}
	whole := func(l sandbox.Layer) bool { return l.Whole && l.Path == c.world.home }
	if slices.ContainsFunc(layers, whole) {
		return upper, nil
	}
	return overlaid(c.installed, upper, func(path string) bool {
		host := c.world.changes().Host(path)
		value := make([]byte, 1)
		n, err := unix.Lgetxattr(host, "user.overlay.opaque", value)
		return err == nil && n == 1 && value[0] == 'y'
	}), nil
}

// overlaid is the tree that an overlay shows: a character device in the upper
// layer (the only devices that can be made there) removes the entry, an opaque
// directory all that was below it.
func overlaid(lower, upper *evidence.Tree, opaque func(path string) bool) *evidence.Tree {
	merged := &evidence.Tree{
		Roots: lower.Roots, Files: maps.Clone(lower.Files), Encoded: slices.Concat(lower.Encoded, upper.Encoded),
		Unread: slices.Concat(lower.Unread, upper.Unread),
	}
	remove := func(dir string) {
		for p := range merged.Files {
			if strings.HasPrefix(p, dir+"/") {
				delete(merged.Files, p)
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(upper.Files)) {
		state := upper.Files[p]
		old, existed := merged.Files[p]
		switch {
		case state.Kind == evidence.KindDevice:
			remove(p)
			delete(merged.Files, p)
			continue
		case existed && (old.Kind == evidence.KindDirectory) != (state.Kind == evidence.KindDirectory),
			state.Kind == evidence.KindDirectory && opaque(p):
			remove(p)
		}
		merged.Files[p] = state
	}
	slices.Sort(merged.Encoded)
	merged.Encoded = slices.Compact(merged.Encoded)
	return merged
}
