package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
)

// maxNotRun is how many scenarios may be left out for good.
const maxNotRun = 15

// notRun is a scenario of the catalogue that cannot be run harmlessly.
type notRun struct {
	ID     string `yaml:"id"`
	Reason string `yaml:"reason"`
	// Recording is the scenario whose behaviour is equivalent and whose recording
	// stands for this one.
	Recording string `yaml:"recording"`
}

// readNotRun reads the list of scenarios that are not run.
func readNotRun(path string) ([]notRun, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of scenarios that are not run: %w", err)
	}
	var all []notRun
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&all); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	if len(all) > maxNotRun {
		return nil, fmt.Errorf("read %q: %d scenarios, want at most %d", path, len(all), maxNotRun)
	}
	for _, n := range all {
		if n.ID == "" || n.Reason == "" {
			return nil, fmt.Errorf("read %q: %+v: want an id and a reason", path, n)
		}
	}
	return all, nil
}
