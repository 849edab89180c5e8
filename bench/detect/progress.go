package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress shows how far a suite is: a bar on a terminal, else a line for each.
type progress struct {
	mu       sync.Mutex
	to       io.Writer
	bar      bool
	suite    string
	total    int
	finished int
	earlier  int // finished by an earlier run
	bad      int
	started  time.Time
}

// descriptor is what a terminal has.
type descriptor interface{ Fd() uintptr }

func newProgress(to io.Writer, suite string, total int) *progress {
	d, ok := to.(descriptor)
	return &progress{to: to, bar: ok && term.IsTerminal(int(d.Fd())), suite: suite, total: total, started: time.Now()}
}

// barWidth is the number of characters of the bar.
const barWidth = 24

// done tells of one result; text is what a line says of it.
func (p *progress) done(l line, again bool, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished++
	if again {
		p.earlier++
	}
	if !l.OK && l.NotRun == "" && l.Unreachable == "" {
		p.bad++
	}
	if !p.bar {
		fmt.Fprintf(p.to, "detect: %s %d of %d: %s\n", p.suite, p.finished, p.total, text)
		return
	}
	if !l.OK {
		fmt.Fprintf(p.to, "\r\x1b[K%s\n", text)
	}
	full := barWidth * p.finished / p.total
	fmt.Fprintf(p.to, "\r\x1b[K%s [%s%s] %d of %d, %d bad%s", p.suite, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), p.finished, p.total, p.bad, p.left())
}

// left is how long the rest takes when it goes on like this.
func (p *progress) left() string {
	ran := p.finished - p.earlier
	if ran == 0 || p.finished == p.total {
		return ""
	}
	rest := time.Duration(p.total-p.finished) * time.Since(p.started) / time.Duration(ran)
	return fmt.Sprintf(", about %s left", rest.Round(time.Second))
}

// end ends the bar's line.
func (p *progress) end() {
	if p.bar {
		fmt.Fprintln(p.to)
	}
}
