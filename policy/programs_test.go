package policy

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestProgramsCompileOnce(t *testing.T) {
	src := []byte("package a\nimport rego.v1\ndeny contains \"x\" if input.y")
	var programs Programs
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := programs.Compile(cancelled, "a", []byte("package a")); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a module without deny: %v", err)
	}
	found := make([]*Program, 20)
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() {
			var err error
			if found[i], err = programs.Compile(t.Context(), "a", src); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, p := range found {
		if p == nil || p != found[0] {
			t.Fatal("compiled more than once")
		}
	}
	other, err := programs.Compile(t.Context(), "b", src)
	if err != nil || other == found[0] {
		t.Errorf("another name gives the same program: %v", err)
	}
	if _, err := programs.Compile(t.Context(), "bad", []byte("package a\ndeny {")); err == nil {
		t.Error("a module that does not parse was compiled")
	}
}

// Who waited for one that gave up compiles the module itself.
func TestProgramsAfterCancel(t *testing.T) {
	src := []byte("package a\nimport rego.v1\ndeny contains \"x\" if input.y")
	gone := &compiledOnce{done: make(chan struct{}), err: context.Canceled, dropped: true}
	programs := Programs{entries: map[string]*compiledOnce{"a\x00" + string(src): gone}}
	got := make(chan error)
	go func() {
		p, err := programs.Compile(t.Context(), "a", src)
		if err == nil && p == nil {
			err = errors.New("no program")
		}
		got <- err
	}()
	programs.mu.Lock()
	delete(programs.entries, "a\x00"+string(src))
	programs.mu.Unlock()
	close(gone.done)
	if err := <-got; err != nil {
		t.Error(err)
	}
}
