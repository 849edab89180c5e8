package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// report prints results as markdown; the first error of writing stays.
type report struct {
	to  io.Writer
	err error
	c   catalogue
}

func (r *report) line(format string, args ...any) {
	if _, err := fmt.Fprintf(r.to, format+"\n", args...); err != nil {
		r.err = cmp.Or(r.err, err)
	}
}

// table prints rows; the first is its head.
func (r *report) table(rows [][]string) {
	rule := make([]string, len(rows[0]))
	for i := range rule {
		rule[i] = "---"
	}
	aligned := tabwriter.NewWriter(r.to, 0, 0, 1, ' ', 0)
	for _, row := range slices.Insert(slices.Clone(rows), 1, rule) {
		fmt.Fprintf(aligned, "| %s\t|\n", strings.Join(row, "\t| "))
	}
	if err := aligned.Flush(); err != nil {
		r.err = cmp.Or(r.err, err)
	}
	r.line("")
}

func fraction(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}

// ran leaves out what did not run on this machine.
func ran(lines []line) []line {
	return slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return l.NotRun != "" })
}

// parts divides the results of scenarios: attacks that count, attacks out of reach,
// look-alikes.
func parts(lines []line) (attacks, unreachable, lookalikes []line) {
	for _, l := range ran(lines) {
		switch {
		case l.Lookalike:
			lookalikes = append(lookalikes, l)
		case l.Unreachable != "":
			unreachable = append(unreachable, l)
		default:
			attacks = append(attacks, l)
		}
	}
	return attacks, unreachable, lookalikes
}

// overall prints how well the verdict tells attacks from what is honest: denied is
// a CRITICAL or HIGH finding that no exception covers.
func (r *report) overall(scenarios, honest []line) {
	attacks, unreachable, lookalikes := parts(scenarios)
	rows := [][]string{{"what", "runs", "denied", "not denied", "precision", "recall", "MCC"}}
	var all confusion
	row := func(name string, lines []line, malicious bool) {
		var c confusion
		for _, l := range lines {
			c.add(malicious, len(l.Denying) > 0)
		}
		all.truePositive, all.falseNegative = all.truePositive+c.truePositive, all.falseNegative+c.falseNegative
		all.falsePositive, all.trueNegative = all.falsePositive+c.falsePositive, all.trueNegative+c.trueNegative
		recall := "–"
		if malicious {
			recall = fraction(c.recall())
		}
		rows = append(rows, []string{name, fmt.Sprint(len(lines)), fmt.Sprint(c.truePositive + c.falsePositive), fmt.Sprint(c.falseNegative + c.trueNegative), "–", recall, "–"})
	}
	row("scenarios of attacks", attacks, true)
	row("scenarios out of a run's reach", unreachable, true)
	row("benign look-alikes", lookalikes, false)
	row("honest packages", ran(honest), false)
	rows = append(rows, []string{
		"together", fmt.Sprint(len(attacks) + len(unreachable) + len(lookalikes) + len(honest)), fmt.Sprint(all.truePositive + all.falsePositive),
		fmt.Sprint(all.falseNegative + all.trueNegative), fraction(all.precision()), fraction(all.recall()), fraction(all.mcc()),
	})
	r.line("## Verdicts\n")
	r.table(rows)
}

// perModule prints for each module how many scenarios expected it and got it, and
// how many honest runs it would deny.
func (r *report) perModule(scenarios, honest []line) {
	attacks, unreachable, lookalikes := parts(scenarios)
	rows := [][]string{{"module", "expected", "caught", "missed", "look-alikes denied", "packages denied", "precision", "recall", "MCC"}}
	for _, module := range r.c.modules {
		var c confusion
		for _, l := range slices.Concat(attacks, unreachable) {
			if slices.Contains(l.Expected, module) {
				c.add(true, slices.Contains(l.Modules, module))
			}
		}
		denied := map[bool]int{}
		for _, l := range slices.Concat(lookalikes, ran(honest)) {
			loud := slices.Contains(l.Denying, module)
			c.add(false, loud)
			if loud {
				denied[l.Lookalike]++
			}
		}
		rows = append(rows, []string{
			module, fmt.Sprint(c.truePositive + c.falseNegative), fmt.Sprint(c.truePositive), fmt.Sprint(c.falseNegative),
			fmt.Sprint(denied[true]), fmt.Sprint(denied[false]), fraction(c.precision()), fraction(c.recall()), fraction(c.mcc()),
		})
	}
	r.line("## Modules\n")
	r.table(rows)
}

// perDifficulty prints how many scenarios had all that they expect.
func (r *report) perDifficulty(scenarios []line) {
	rows := [][]string{{"difficulty", "scenarios", "caught", "missed", "recall", "out of reach"}}
	attacks, unreachable, _ := parts(scenarios)
	for d := minDifficulty; d <= maxDifficulty; d++ {
		var c confusion
		beyond := 0
		for _, l := range attacks {
			if l.Difficulty == d {
				c.add(true, l.OK)
			}
		}
		for _, l := range unreachable {
			if l.Difficulty == d {
				beyond++
			}
		}
		rows = append(rows, []string{
			fmt.Sprint(d), fmt.Sprint(c.truePositive + c.falseNegative), fmt.Sprint(c.truePositive), fmt.Sprint(c.falseNegative), fraction(c.recall()), fmt.Sprint(beyond),
		})
	}
	r.line("## Scenarios, every expected rule and module\n")
	r.table(rows)
}

// misses names every scenario that is not as expected, and why where it is known.
func (r *report) misses(scenarios []line, left []notRun) {
	rows := [][]string{{"scenario", "what", "why"}}
	for _, l := range scenarios {
		switch {
		case l.NotRun != "":
			rows = append(rows, []string{l.Name, "not run", l.NotRun})
		case l.OK && len(l.Beyond) > 0:
			rows = append(rows, outOfSight(l)...)
		case l.OK:
		case l.Lookalike && len(l.Loud) == 0:
			rows = append(rows, []string{l.Name, l.Verdict, cell(strings.Join(l.Problems, "; "))})
		case l.Lookalike:
			rows = append(rows, []string{l.Name, "denied", cell(strings.Join(l.Loud, "; "))})
		default:
			rows = append(rows, []string{l.Name, "missing " + strings.Join(l.Missing, " "), cell(cmp.Or(l.Unreachable, strings.Join(l.Problems, "; "), "a miss"))})
		}
	}
	for _, n := range left {
		rows = append(rows, []string{n.ID, "not run, recorded as " + cmp.Or(n.Recording, "nothing"), cell(n.Reason)})
	}
	r.line("## Not as expected\n")
	if len(rows) == 1 {
		r.line("Nothing.\n")
		return
	}
	r.table(rows)
}

// outOfSight names what the evidence of a scenario cannot show, though the rest was caught.
func outOfSight(l line) [][]string {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(l.Beyond)) {
		rows = append(rows, []string{l.Name, "beyond the evidence: " + name, cell(l.Beyond[name])})
	}
	return rows
}

// cell is text that cannot end its cell of a table.
func cell(text string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text) }

// honest prints what was found on honest packages.
func (r *report) honest(lines []line) {
	undecided, denied, bare := 0, 0, 0
	counts, byRule := map[string]int{}, map[string][]string{}
	for _, l := range lines {
		if slices.Contains(undecidedVerdicts(), l.Verdict) {
			undecided++
		}
		if len(l.Loud) > 0 {
			denied++
		}
		if len(l.Loud)+len(l.Waived) > 0 {
			bare++
		}
		for severity, n := range l.Counts {
			counts[severity] += n
		}
		for _, text := range slices.Concat(l.Loud, l.Waived) {
			rule, _, _ := strings.Cut(text, ":")
			byRule[rule] = append(byRule[rule], l.Name)
		}
	}
	r.line("## Honest packages\n")
	r.table([][]string{
		{"checked", "denied", "denied without exceptions", "undecided", "CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"},
		{
			fmt.Sprint(len(lines)), fmt.Sprint(denied), fmt.Sprint(bare), fmt.Sprint(undecided),
			fmt.Sprint(counts["CRITICAL"]), fmt.Sprint(counts["HIGH"]), fmt.Sprint(counts["MEDIUM"]), fmt.Sprint(counts["LOW"]), fmt.Sprint(counts["INFO"]),
		},
	})
	if len(byRule) > 0 {
		rows := [][]string{{"finding", "packages"}}
		for _, rule := range slices.Sorted(maps.Keys(byRule)) {
			rows = append(rows, []string{rule, strings.Join(distinct(byRule[rule]), ", ")})
		}
		r.table(rows)
	}
}

// mutation prints recall under the seeds that were run.
func (r *report) mutation(all []comparison) {
	rows := [][]string{{"seed", "scenarios", "caught", "caught renamed", "drop in points", "only by name", "lost"}}
	for _, c := range all {
		rows = append(rows, []string{
			fmt.Sprint(c.seed), fmt.Sprint(c.total), fmt.Sprint(c.plain), fmt.Sprint(c.renamed), fmt.Sprintf("%.1f", c.drop()), fmt.Sprint(c.notMutated), strings.Join(c.lost, ", "),
		})
	}
	r.line("## Renamed\n")
	r.table(rows)
}

// costs prints what checks took.
func (r *report) costs(scenarios, honest []line) {
	rows := [][]string{{"checks", "runs", "seconds, median", "highest", "CPU seconds, median", "highest", "sum"}}
	row := func(name string, lines []line) {
		var seconds, cpu []float64
		for _, l := range ran(lines) {
			seconds, cpu = append(seconds, l.Seconds), append(cpu, l.CPU)
		}
		s, c := spreadOf(seconds), spreadOf(cpu)
		rows = append(rows, []string{
			name, fmt.Sprint(len(seconds)), fmt.Sprintf("%.1f", s.median), fmt.Sprintf("%.1f", s.highest),
			fmt.Sprintf("%.1f", c.median), fmt.Sprintf("%.1f", c.highest), fmt.Sprintf("%.0f", c.sum),
		})
	}
	row("scenarios", scenarios)
	row("honest packages", honest)
	r.line("## Cost\n")
	r.table(rows)
}

// runTable prints everything that was measured, from the file of results; what is
// of another binary is left out, and said.
func (s settings) runTable(ctx context.Context, stdout *report) error {
	var scenarios, mutated, honest []line
	seeds := map[uint64]bool{}
	old := 0
	for _, key := range slices.Sorted(maps.Keys(s.journal.done)) {
		l := s.journal.done[key]
		switch {
		case l.Binary != s.binaryDigest:
			old++
		case l.Suite == suiteAttacks:
			scenarios = append(scenarios, l)
		case l.Suite == suiteMutation:
			mutated, seeds[l.Seed] = append(mutated, l), true
		case l.Suite == suiteHonest:
			honest = append(honest, l)
		}
	}
	left, err := readNotRun(s.notRun)
	if err != nil {
		return err
	}
	stdout.overall(scenarios, honest)
	stdout.perDifficulty(scenarios)
	stdout.perModule(scenarios, honest)
	stdout.misses(scenarios, left)
	stdout.honest(honest)
	var comparisons []comparison
	for _, seed := range slices.Sorted(maps.Keys(seeds)) {
		comparisons = append(comparisons, s.compareSeeds(scenarios, mutated, seed))
	}
	if len(comparisons) > 0 {
		stdout.mutation(comparisons)
	}
	stdout.costs(scenarios, honest)
	if err := s.judgeRecordings(ctx, stdout); err != nil {
		return err
	}
	if old > 0 {
		stdout.line("%d results of another binary are left out: run the measurements again.", old)
	}
	return stdout.err
}

// judgeRecordings judges the archive by the modules of this tree.
func (s settings) judgeRecordings(ctx context.Context, stdout *report) error {
	recordings, err := readRecordings(s.recordings)
	if err != nil {
		return err
	}
	scenarios, err := readScenarios(s.scenarios)
	if err != nil {
		return err
	}
	j, err := newJudge(ctx, s.catalogue)
	if err != nil {
		return err
	}
	rows := [][]string{{"recordings of", "runs", "as expected", "not"}}
	counts := map[bool][2]int{}
	var bad []string
	for _, one := range scenarios {
		r, ok := recordings[one.ID]
		if !ok {
			continue
		}
		found, err := j.findings(ctx, r)
		if err != nil {
			return err
		}
		l := s.compare(line{Suite: suiteAttacks, Name: one.ID}, one, observed{judged: judged{Findings: found}})
		c := counts[one.lookalike()]
		if l.OK {
			c[0]++
		} else {
			c[1]++
			bad = append(bad, l.describe())
		}
		counts[one.lookalike()] = c
	}
	for _, kind := range []bool{false, true} {
		name := map[bool]string{false: "attacks", true: "look-alikes"}[kind]
		rows = append(rows, []string{name, fmt.Sprint(counts[kind][0] + counts[kind][1]), fmt.Sprint(counts[kind][0]), fmt.Sprint(counts[kind][1])})
	}
	stdout.line("## Recordings of live runs\n")
	stdout.table(rows)
	for _, text := range bad {
		stdout.line("- %s", text)
	}
	return nil
}
