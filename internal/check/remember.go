package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pip-witness/internal/capture"
	"pip-witness/internal/store"
)

// digestsFile is where digests of the host's large files are kept from run to
// run, below the cache directory. Nothing inside a sandbox can write there.
const digestsFile = "digests.json"

// openDigests starts with the digests of earlier runs; an unreadable file of
// them is as good as none.
func openDigests(cacheDir string) *capture.Digests {
	digests := capture.NewDigests()
	if cacheDir == "" {
		return digests
	}
	if data, err := os.ReadFile(filepath.Join(cacheDir, digestsFile)); err == nil {
		_ = digests.Import(data) // what does not parse is written anew
	}
	return digests
}

// keepDigests writes them for the next run and ends the workers.
func keepDigests(digests *capture.Digests, cacheDir string) error {
	defer digests.Close()
	if cacheDir == "" {
		return nil
	}
	data, err := digests.Export()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cacheDir, 0o700); err != nil {
		return fmt.Errorf("keep digests: %w", err)
	}
	err = store.WriteFile(filepath.Join(cacheDir, digestsFile), data, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		return nil // a read-only home: the next run is slower, that is all
	}
	return err
}
