package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// workload is what is compared: the same work done in several ways.
type workload struct {
	name string
	// prepare makes what the work starts from, outside the clock; nil is nothing.
	prepare func(context.Context, *world) error
	// sides are the ways; the first is the plain one that the others are compared
	// with.
	sides []side
}

// side is one way.
type side struct {
	name string
	// goal is the ratio that this side should stay below; 0 is none.
	goal float64
	// commands run one after the other; their times are added.
	commands func(*world) ([]command, error)
	// inspect looks at the outputs of a run; nil does not.
	inspect func(outputs [][]byte) error
	// watch is called beside each command, see world.run; nil does not look.
	watch func(context.Context, int)
	// after looks at the world of a run, also of those that are not counted; nil does
	// not.
	after func(*world) error
}

// compare runs every side of a workload n times, interleaved (A B C, A B C, …),
// each time in a world of its own. One round before, which is not counted,
// brings the files into memory.
func compare(ctx context.Context, s settings, w workload) ([]comparison, error) {
	samples := make([][]sample, len(w.sides))
	for round := range s.runs + 1 {
		for i, one := range w.sides {
			if round == 0 && i > 1 {
				continue // reading the files once is enough
			}
			s.say("%s: %s, run %d of %d", w.name, one.name, round, s.runs)
			took, err := runSide(ctx, s, w, one, round > 0)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", w.name, one.name, err)
			}
			if round > 0 {
				samples[i] = append(samples[i], took)
			}
		}
	}
	var all []comparison
	for i, one := range w.sides {
		all = append(all, newComparison(w.name, one, samples[0], samples[i]))
	}
	return all, nil
}

// runSide is one run of one side.
func runSide(ctx context.Context, s settings, load workload, one side, counted bool) (total sample, err error) {
	w, err := newWorld(s)
	if err != nil {
		return total, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	if load.prepare != nil {
		if err := load.prepare(ctx, w); err != nil {
			return total, err
		}
	}
	commands, err := one.commands(w)
	if err != nil {
		return total, err
	}
	settle()
	var outputs [][]byte
	for _, c := range commands {
		took, err := w.run(ctx, c, one.watch)
		if err != nil {
			return total, err
		}
		total.Wall += took.Wall
		total.CPU += took.CPU
		outputs = append(outputs, took.Output)
	}
	if one.after != nil {
		if err := one.after(w); err != nil {
			return total, err
		}
	}
	if one.inspect != nil && counted {
		return total, one.inspect(outputs)
	}
	return total, nil
}

// comparison is one side of a workload, compared with the plain side.
type comparison struct {
	Kind  string  `json:"kind"` // "comparison"
	Case  string  `json:"case"`
	Side  string  `json:"side"`
	Runs  int     `json:"runs"`
	Plain float64 `json:"plain"` // seconds, median of the plain side
	Took  float64 `json:"took"`  // seconds, median of this side
	// Ratio is the median of the ratios of neighbours, Low and High the smallest
	// and the largest of them; all are 1 on the plain side.
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	// CPURatio compares user and system time of all processes, in the same way.
	CPURatio float64 `json:"cpuRatio"`
	// Goal is the ratio to stay below; 0 is none.
	Goal float64 `json:"goal,omitempty"`
}

// newComparison pairs the runs: neighbours in time share the machine's mood.
func newComparison(name string, one side, plain, taken []sample) comparison {
	c := comparison{Kind: "comparison", Case: name, Side: one.name, Runs: len(taken), Goal: one.goal}
	var walls, cpus []float64
	for i := range taken {
		walls = append(walls, taken[i].Wall.Seconds()/plain[i].Wall.Seconds())
		cpus = append(cpus, float64(taken[i].CPU)/float64(max(plain[i].CPU, time.Microsecond)))
	}
	seconds := func(s sample) float64 { return s.Wall.Seconds() }
	c.Plain, c.Took = median(each(plain, seconds)), median(each(taken, seconds))
	c.Ratio, c.Low, c.High, c.CPURatio = median(walls), slices.Min(walls), slices.Max(walls), median(cpus)
	return c
}

func each[T any](values []T, f func(T) float64) []float64 {
	all := make([]float64, len(values))
	for i, v := range values {
		all[i] = f(v)
	}
	return all
}

// median is the middle value, of an even number the mean of the two in the
// middle; 0 of none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
