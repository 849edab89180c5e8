package policy

import (
	"context"
	"sync"
)

// Programs are modules that were compiled, so that a process which compiles a
// policy and then verifies by it compiles each module once. The zero value holds
// none. It can be used by many goroutines at a time.
type Programs struct {
	mu      sync.Mutex
	entries map[string]*compiledOnce
}

type compiledOnce struct {
	done    chan struct{}
	program *Program
	err     error
	dropped bool // whoever compiled it gave up
}

// Compile is [CompileModule], once for each name and text. An error is kept like a
// program, except that of a cancelled context.
func (p *Programs) Compile(ctx context.Context, name string, src []byte) (*Program, error) {
	key := name + "\x00" + string(src)
	p.mu.Lock()
	e, ok := p.entries[key]
	if !ok {
		e = &compiledOnce{done: make(chan struct{})}
		if p.entries == nil {
			p.entries = map[string]*compiledOnce{}
		}
		p.entries[key] = e
	}
	p.mu.Unlock()
	if ok {
		select {
		case <-e.done:
			if e.dropped {
				return p.Compile(ctx, name, src)
			}
			return e.program, e.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	e.program, e.err = CompileModule(ctx, name, src)
	if e.err != nil && ctx.Err() != nil {
		e.dropped = true
		p.mu.Lock()
		delete(p.entries, key)
		p.mu.Unlock()
	}
	close(e.done)
	return e.program, e.err
}
