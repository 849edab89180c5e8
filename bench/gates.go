package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The gates.
const (
	startGate      = 40   // ms, --version
	verifyGate     = 1000 // ms, both steps of requests
	memoryGate     = 200  // MB, pip-witness on pandas and numpy
	evidenceGate   = 3    // MB, evidence of requests
	compressedGate = 0.5  // MB, the same with --compress
)

const megabyte = 1e6

// measureGates measures what has an absolute bound.
func measureGates(ctx context.Context, s settings, r *report) (err error) {
	w, err := newWorld(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	steps := []struct {
		name    string
		measure func(context.Context, *world, *report) error
	}{
		{"start-up", measureStart}, {"verification", measureVerify}, {"memory", measureMemory},
	}
	for _, one := range steps {
		if !s.only.MatchString(one.name) {
			continue
		}
		s.say("%s", one.name)
		if err := one.measure(ctx, w, r); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return nil
}

// repeat is the median time of a command, in milliseconds, after one run that is
// not counted.
func (w *world) repeat(ctx context.Context, c command) (float64, error) {
	var times []float64
	for round := range w.runs + 1 {
		took, err := w.run(ctx, c, nil)
		if err != nil {
			return 0, err
		}
		if round > 0 {
			times = append(times, took.Wall.Seconds()*1e3)
		}
	}
	return median(times), nil
}

func measureStart(ctx context.Context, w *world, r *report) error {
	took, err := w.repeat(ctx, command{args: []string{w.binary, "--version"}})
	r.add("pip-witness --version", took, "ms", startGate)
	return err
}

// check is a check of requirements with the world's wheels.
func (w *world) check(evidence string, arguments ...string) command {
	args := []string{w.binary, "check", "--python", w.python, "--no-index", "--find-links", w.wheels, "--quiet", "--format", "json", "--evidence", evidence}
	return command{label: "check", args: append(args, arguments...)}
}

// measureVerify verifies the evidence of both steps of requests, and looks at
// the size of that evidence.
func measureVerify(ctx context.Context, w *world, r *report) error {
	plain, compressed := w.path("evidence"), w.path("compressed")
	for _, c := range []command{w.check(plain, "requests"), w.check(compressed, "requests", "--compress")} {
		if _, err := w.run(ctx, c, nil); err != nil {
			return err
		}
	}
	took, err := w.repeat(ctx, command{args: []string{w.binary, "verify", "--trust-embedded", plain}})
	if err != nil {
		return err
	}
	r.add("verify both steps of requests", took, "ms", verifyGate)
	for _, kind := range []struct {
		name string
		dir  string
		gate float64
	}{{"evidence of requests", plain, evidenceGate}, {"evidence of requests, --compress", compressed, compressedGate}} {
		all, bundles, err := sizes(kind.dir)
		if err != nil {
			return err
		}
		r.add(kind.name, float64(all-bundles)/megabyte, "MB", kind.gate)
		r.add(kind.name+": the same again as Sigstore bundles", float64(bundles)/megabyte, "MB", 0)
	}
	return nil
}

// sizes is the size of all files of a directory, and of the Sigstore bundles
// among them, in bytes.
func sizes(dir string) (all, bundles int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all += info.Size()
		if strings.Contains(d.Name(), ".sigstore.") {
			bundles += info.Size()
		}
		return nil
	})
	return all, bundles, err
}

// measureMemory is the peak of the processes that run the pip-witness binary in
// a check of pandas and numpy. The kernel's own account of a child that ended
// (wait4) is the largest of the child and everything that it waited for, so it
// would be pip's peak; /proc knows each process's own.
func measureMemory(ctx context.Context, w *world, r *report) error {
	peak := &peakWatch{binary: w.binary}
	if _, err := w.run(ctx, w.check(w.path("memory"), "pandas", "numpy"), peak.watch); err != nil {
		return err
	}
	if peak.main == 0 {
		return errors.New("nothing was seen in /proc")
	}
	r.add("peak memory on pandas and numpy", float64(peak.all)/megabyte, "MB", memoryGate)
	r.add("peak memory on pandas and numpy: the main process alone", float64(peak.main)/megabyte, "MB", 0)
	return nil
}

// peakWatch follows the peak resident memory of a process and of those of its
// descendants that run the same binary.
type peakWatch struct {
	binary string
	main   int64 // bytes, peak of the process itself
	all    int64 // bytes, largest sum of the peaks of those that were there together
}

// peakPoll is how often /proc is read. A peak never falls, so only what is added
// in the last interval of a process's life can be missed.
const peakPoll = 10 * time.Millisecond

func (p *peakWatch) watch(ctx context.Context, pid int) {
	for {
		p.look(pid)
		select {
		case <-ctx.Done():
			return
		case <-time.After(peakPoll):
		}
	}
}

func (p *peakWatch) look(pid int) {
	var sum int64
	for _, one := range family(pid) {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", one)); err != nil || exe != p.binary {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", one))
		if err != nil {
			continue
		}
		peak := statusBytes(status, "VmHWM:")
		sum += peak
		if one == pid {
			p.main = max(p.main, peak)
		}
	}
	p.all = max(p.all, sum)
}

// family is a process and its descendants.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		if err != nil {
			return all
		}
		for _, list := range lists {
			text, err := os.ReadFile(list)
			if err != nil {
				continue // the thread has ended
			}
			for _, field := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(field); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// statusBytes is a line of /proc/PID/status, such as VmHWM, in bytes; 0 where it is
// not, as in a process that has ended.
func statusBytes(status []byte, name string) int64 {
	for line := range bytes.Lines(status) {
		value, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(value)), "kB")), 10, 64)
		if err != nil {
			return 0
		}
		return kilobytes << 10 // proc(5) writes kB and means KiB
	}
	return 0
}
