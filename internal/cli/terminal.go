package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"pip-witness/internal/check"
	"pip-witness/internal/report"
)

// isTerminal tells whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colored tells whether to use colours on w: on a terminal, unless NO_COLOR is
// set (no-color.org) or the terminal is dumb; always with CLICOLOR_FORCE.
func colored(w io.Writer) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return isTerminal(w) && os.Getenv("TERM") != "dumb"
}

// progress shows one line on a terminal while the program works, and nothing
// anywhere else.
type progress struct {
	w       io.Writer
	enabled bool
	started time.Time

	mu   sync.Mutex
	last time.Time
	text string
}

// redraw is how often the line is written again at most.
const redraw = 100 * time.Millisecond

func newProgress(w io.Writer, quiet bool) *progress {
	return &progress{w: w, enabled: !quiet && isTerminal(w), started: time.Now()}
}

func (p *progress) show(now check.Progress) {
	if !p.enabled {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Text == p.text && time.Since(p.last) < redraw {
		return
	}
	p.last, p.text = time.Now(), now.Text
	line := fmt.Sprintf("%5.1fs  %-8s %s", time.Since(p.started).Seconds(), now.Stage, now.Text)
	if now.Calls > 0 {
		line += fmt.Sprintf("  (%d calls)", now.Calls)
	}
	if runes := []rune(line); len(runes) > 100 {
		line = string(runes[:99]) + "…"
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", report.Printable(line)) // a package chooses its modules' names
}

// end removes the line.
func (p *progress) end() {
	if p.enabled {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
