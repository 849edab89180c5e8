package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"pip-witness/internal/sandbox"
)

// measureEmpty measures a command that does nothing: what is added whatever the
// command is.
func measureEmpty(ctx context.Context, s settings, r *report) (err error) {
	w, err := newWorld(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	nothing, err := exec.LookPath("true")
	if err != nil {
		return fmt.Errorf("find a command that does nothing: %w", err)
	}
	key, err := s.key(ctx)
	if err != nil {
		return err
	}
	defer os.Remove(key)
	s.say("empty command")
	empty := command{args: []string{nothing}}
	for _, one := range []struct {
		name    string
		command command
	}{
		{"empty command, plain", empty},
		{"empty command, pip-witness run", traced(func(*world) command { return empty }, key)(w)},
	} {
		took, err := w.repeat(ctx, one.command)
		if err != nil {
			return err
		}
		r.add(one.name, took, "ms", 0)
	}
	return measureSandbox(s, w, nothing, r)
}

// measureSandbox starts a sandbox like that of the install step, runs a command
// in it without the tracer, and ends it.
func measureSandbox(s settings, w *world, nothing string, r *report) error {
	var whole, starts, runs []float64
	for round := range s.runs + 1 {
		times, err := sandboxOnce(w, fmt.Sprintf("box%d", round), nothing)
		if err != nil {
			return fmt.Errorf("empty command in the sandbox: %w", err)
		}
		if round > 0 {
			starts, runs, whole = append(starts, times[0]), append(runs, times[1]), append(whole, times[2])
		}
	}
	r.add("empty command in the sandbox, not traced", median(whole), "ms", 0)
	r.add("empty command in the sandbox: to start the sandbox", median(starts), "ms", 0)
	r.add("empty command in the sandbox: to run the command", median(runs), "ms", 0)
	return nil
}

// sandboxOnce is how long it took to start the sandbox, to run the command, and
// both with the end of the sandbox, in milliseconds.
func sandboxOnce(w *world, name, nothing string) (times [3]float64, err error) {
	for _, d := range []string{"", "/root", "/home", "/tmp"} {
		if err := os.Mkdir(w.path(name)+d, 0o755); err != nil {
			return times, err
		}
	}
	spec := sandbox.Spec{
		Namespaces: true, Everywhere: true, GatewayPort: 3141, Hostname: "localhost", RootDir: w.path(name) + "/root",
		Hidden: []string{"/root"},
		Binds: []sandbox.Bind{
			{Source: w.path(name) + "/home", Target: "/root", Writable: true},
			{Source: w.path(name) + "/tmp", Target: "/tmp", Writable: true},
		},
	}
	started := time.Now()
	elapsed := func() float64 { return time.Since(started).Seconds() * 1e3 }
	// Not the caller's context: Close ends the sandbox on every path.
	box, err := sandbox.Start(context.Background(), spec)
	if err != nil {
		return times, err
	}
	times[0] = elapsed()
	running, err := box.Run(sandbox.Command{Args: []string{nothing}, Env: w.env, Dir: "/"})
	if err != nil {
		box.Close()
		return times, err
	}
	status, err := running.Wait()
	times[1] = elapsed() - times[0]
	box.Close()
	times[2] = elapsed()
	if err == nil && status != 0 {
		err = errors.New("the command failed")
	}
	return times, err
}
