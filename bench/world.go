package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// world is the fresh directory that every run of either side starts in.
type world struct {
	settings
	dir    string
	prefix string // the environment; it exists when a workload made it
	env    []string
}

// newWorld makes a world with empty HOME, temporary directory and caches, and
// an environment without the user's own configuration of pip, so that nothing
// but the directory of wheels decides what is installed.
func newWorld(s settings) (*world, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, fmt.Errorf("make a fresh directory: %w", err)
	}
	w := &world{settings: s, dir: dir, prefix: filepath.Join(dir, "venv")}
	for _, d := range []string{"home", "tmp", "cache", "state", "work"} {
		if err := os.Mkdir(w.path(d), 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("make a fresh directory: %w", err), w.remove())
		}
	}
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.path("home"), "TMPDIR=" + w.path("tmp"), "LANG=C.UTF-8",
		"XDG_CACHE_HOME=" + w.path("cache"), "XDG_STATE_HOME=" + w.path("state"), "PIP_CONFIG_FILE=" + os.DevNull,
	}
	return w, nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) remove() error { return os.RemoveAll(w.dir) }

// command is one command of a side.
type command struct {
	label string
	args  []string
	env   []string // after the world's own
}

// sample is what one command took.
type sample struct {
	Wall time.Duration
	CPU  time.Duration // user and system, of the command and what it waited for
	// Output is what it printed, both streams, for whoever wants to parse it.
	Output []byte
}

// maxOutput bounds what is read of a command's output.
const maxOutput = 16 << 20 // 16 MiB

// run runs one command; watch is called with its process id while it runs, and
// is told to end through its context. A command that fails is an error with the
// end of what it printed.
func (w *world) run(ctx context.Context, c command, watch func(context.Context, int)) (sample, error) {
	// A file, not a pipe: nobody has to copy while the clock runs.
	out, err := os.CreateTemp(w.dir, "output-")
	if err != nil {
		return sample{}, fmt.Errorf("run %q: %w", c.args, err)
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.path("work"), append(w.env[:len(w.env):len(w.env)], c.env...), out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // lets pip-witness tidy up
	cmd.WaitDelay = 10 * time.Second
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, fmt.Errorf("run %q: %w", c.args, err)
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if watch != nil {
			watch(watching, cmd.Process.Pid)
		}
	}()
	err = cmd.Wait()
	s := sample{Wall: time.Since(started)}
	stop()
	<-watched
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	text, readErr := io.ReadAll(io.NewSectionReader(out, 0, maxOutput))
	s.Output = text
	if err != nil {
		return s, fmt.Errorf("run %q: %w: %s", c.args, err, tail(text, 600))
	}
	return s, readErr
}

// tail is the end of a text.
func tail(text []byte, n int) []byte {
	return bytes.TrimSpace(text[max(0, len(text)-n):])
}

// settle lets the disk finish what was prepared, so that no run pays for it.
func settle() { unix.Sync() }

// venv makes an environment without pip, as check does.
func (w *world) venv() command {
	return command{label: "venv", args: []string{w.python, "-I", "-m", "venv", "--without-pip", w.prefix}}
}

// install is the installer's command line, with check's options.
func (w *world) install(requirements ...string) command {
	args := []string{
		w.python, "-I", "-m", "pip", "--python", w.prefix + "/bin/python", "--disable-pip-version-check", "--no-input", "--no-cache-dir",
		"install", "--progress-bar", "off", "--report", w.path("report.json"), "--no-index", "--find-links", w.wheels,
	}
	return command{label: "pip install", args: append(args, requirements...)}
}

// importing imports one module in the environment.
func (w *world) importing(module string, env ...string) command {
	return command{label: "import", args: []string{w.prefix + "/bin/python", "-c", "import " + module}, env: env}
}
