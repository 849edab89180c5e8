package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
	"pip-witness/internal/capture"
	"pip-witness/internal/interpreter"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
	"pip-witness/internal/walk"
)

// confined is one command in a sandbox: the working directory with a throw-away
// layer over it like all else, HOME with decoys, and of the network the sinkhole.
type confined struct {
	CommandRequest
	world   *world
	digests *capture.Digests
	hashes  *walk.DigestCache
	upper   string // what is changed in the working directory
	before  *evidence.Tree
	home    *evidence.Tree // before
}

// confined runs the command in a sandbox.
func (r CommandRequest) confined(ctx context.Context, home string, watcher *evidence.Watcher, digests *capture.Digests) (_ *StepEvidence, err error) {
	if within(home, r.WorkDir) {
		return nil, inputError("change to a directory below it", "run in a sandbox from %q: it holds your home directory, and that is not shown inside", r.WorkDir)
	}
	c := &confined{CommandRequest: r, digests: digests, hashes: &walk.DigestCache{}}
	c.world = &world{box: true, temp: tempDir, home: home, work: r.WorkDir, prefix: r.WorkDir, python: &interpreter.Interpreter{Home: home}}
	if err := c.world.make(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.world.remove()) }()
	if err := c.world.plantDecoys(); err != nil {
		return nil, err
	}
	spec, err := c.spec()
	if err != nil {
		return nil, err
	}
	trace := step.Trace{
		Spec: spec, Timeout: r.Timeout, Linger: r.Linger, Digests: digests, Limits: limits(c.world.dir),
		Watched: func(path string) bool {
			_, ok := watcher.Match(path)
			return ok
		},
		Before: func(int) error { return c.look(ctx) },
		Commands: []step.Command{{
			Command: sandbox.Command{Args: r.Args, Env: c.world.watchedEnvironment(r.Environ), Dir: r.WorkDir, Stdin: r.Stdin},
			Stdout:  r.Stdout, Stderr: r.Stderr,
		}},
	}
	sinkhole := (&run{Request: Request{Network: NetworkNone}, world: c.world}).sink(&trace)
	recording, err := trace.Run(ctx)
	if err != nil {
		return nil, err
	}
	addEgress(&recording.Command, sinkhole, nil)
	return c.attest(ctx, spec, recording)
}

func (c *confined) spec() (sandbox.Spec, error) {
	c.upper = c.world.host(dirSource, "upper")
	work := c.world.host(dirSource, "work")
	var st unix.Stat_t
	if err := unix.Stat(c.WorkDir, &st); err != nil {
		return sandbox.Spec{}, fmt.Errorf("look at the working directory: %w", err)
	}
	for _, d := range []string{c.upper, work} {
		if err := errors.Join(os.Mkdir(d, 0o755), unix.Chmod(d, st.Mode&0o7777)); err != nil {
			return sandbox.Spec{}, fmt.Errorf("make the run's directory: %w", err)
		}
	}
	tools, err := c.world.toolchainBinds(c.Environ)
	if err != nil {
		return sandbox.Spec{}, err
	}
	resolver, err := c.world.resolverBind()
	if err != nil {
		return sandbox.Spec{}, err
	}
	private, err := c.world.privateBinds(c.Private, c.WorkDir)
	if err != nil {
		return sandbox.Spec{}, err
	}
	return sandbox.Spec{
		Namespaces: true, Everywhere: true, RootDir: c.world.host(dirRoot), Hidden: c.world.hidden(), Hostname: "localhost",
		Layers:   c.world.layers(StepInstall, nil),
		Overlays: []sandbox.Overlay{{Lower: c.WorkDir, Upper: c.upper, Work: work, Target: c.WorkDir}},
		Binds: slices.Concat([]sandbox.Bind{
			{Source: c.world.host(dirHome), Target: c.world.home, Writable: true},
			{Source: c.world.host(dirTemp), Target: tempDir, Writable: true},
		}, tools, c.programBinds(), []sandbox.Bind{resolver}, private),
	}, nil
}

// programBinds show, read-only, the programs of the user's PATH that an empty
// directory would hide, and the libraries beside the one that is run (an
// interpreter below HOME).
func (c *confined) programBinds() []sandbox.Bind {
	var dirs []string
	path, _ := lookUp(c.Environ, "PATH")
	dirs = append(dirs, filepath.SplitList(path)...)
	if program, err := exec.LookPath(c.Args[0]); err == nil {
		if real, err := filepath.EvalSymlinks(program); err == nil {
			dirs = append(dirs, filepath.Dir(real))
			if prefix, ok := strings.CutSuffix(filepath.Dir(real), "/bin"); ok {
				dirs = append(dirs, filepath.Join(prefix, "lib"))
			}
		}
	}
	slices.Sort(dirs)
	var binds []sandbox.Bind
	for _, dir := range slices.Compact(dirs) {
		if dir = filepath.Clean(dir); filepath.Base(dir) == "shims" {
			dir = filepath.Dir(dir) // scripts that start programs of the same installation
		}
		hidden := slices.ContainsFunc(c.world.hidden(), func(h string) bool { return dir != h && within(dir, h) })
		if info, err := os.Stat(dir); err == nil && info.IsDir() && hidden && !within(dir, c.WorkDir) && !within(c.WorkDir, dir) {
			binds = append(binds, sandbox.Bind{Source: dir, Target: dir})
		}
	}
	return binds
}

// tree walks one directory inside, from where its content is outside.
func (c *confined) tree(ctx context.Context, inside, outside string) (*evidence.Tree, error) {
	layout := attest.Layout{Mounts: []attest.Mount{{Inside: inside, Outside: outside}}}
	return walk.Tree(ctx, layout, []string{inside}, c.hashes)
}

// look takes the trees before the command.
func (c *confined) look(ctx context.Context) (err error) {
	if c.before, err = c.tree(ctx, c.WorkDir, c.WorkDir); err != nil {
		return err
	}
	c.home, err = c.tree(ctx, c.world.home, c.world.host(dirHome))
	return err
}

// after is the tree of the working directory as the command left it.
func (c *confined) after(ctx context.Context, layers []sandbox.Layer) (*evidence.Tree, error) {
	upper, err := c.tree(ctx, c.WorkDir, c.upper)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(layers, func(l sandbox.Layer) bool { return l.Whole && l.Path == c.WorkDir }) {
		return upper, nil
	}
	top := c.before.Files[c.WorkDir]
	merged := overlaid(c.before, upper, func(path string) bool {
		value := make([]byte, 1)
		n, err := unix.Lgetxattr(c.upper+strings.TrimPrefix(path, c.WorkDir), "user.overlay.opaque", value)
		return err == nil && n == 1 && value[0] == 'y'
	})
	if state, ok := merged.Files[c.WorkDir]; ok { // its layer belongs to who runs this
		state.UID, state.GID = top.UID, top.GID
		merged.Files[c.WorkDir] = state
	}
	return merged, nil
}

func (c *confined) attest(ctx context.Context, spec sandbox.Spec, recording *step.Recording) (*StepEvidence, error) {
	command := &recording.Command
	command.Coverage.Sandbox = c.world.sandboxFacts(command.Coverage.Sandbox, NetworkNone, "", spec.Binds, recording.Layers)
	command.Coverage.Sandbox.Prefix, command.Coverage.Sandbox.BasePrefixes = "", nil // there is no environment
	after, err := c.after(ctx, recording.Layers)
	if err != nil {
		return nil, err
	}
	homeAfter, err := c.tree(ctx, c.world.home, c.world.host(dirHome))
	if err != nil {
		return nil, err
	}
	layers := append(slices.Clone(recording.Layers), sandbox.Layer{Path: tempDir, Upper: c.world.host(dirTemp), Mode: temporaryMode})
	if err := addChanges(ctx, recording, joined(c.home, c.before), joined(homeAfter, after), layers, c.hashes); err != nil {
		return nil, err
	}
	evidence.AssignRoles(command, evidence.StepCommand)
	in := &attest.Input{
		Step: c.Step, Command: *command, Started: recording.Started, Finished: recording.Finished, Before: c.before, After: after,
		// What an attestor opens is what the command made or changed.
		Layout:  attest.Layout{Home: c.world.home, Prefix: c.WorkDir, Mounts: []attest.Mount{{Inside: c.WorkDir, Outside: c.upper}}},
		Builder: c.Builder, Environ: c.Environ,
	}
	collection, err := step.Attest(ctx, in, c.Attestors, commandSubjects(command, after))
	if err != nil {
		return nil, err
	}
	return &StepEvidence{c.Step, collection, *command}, nil
}

// joined is two trees as one; where both have an entry the second one's counts, which
// is mounted over the first.
func joined(a, b *evidence.Tree) *evidence.Tree {
	files := maps.Clone(a.Files)
	maps.Copy(files, b.Files)
	return &evidence.Tree{Roots: slices.Concat(a.Roots, b.Roots), Files: files}
}
