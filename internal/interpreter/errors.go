package interpreter

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Causes of an [*Error].
var (
	ErrNoPython      = errors.New("no such Python interpreter")
	ErrPythonTooOld  = errors.New("Python is too old")
	ErrNoVenv        = errors.New("Python has no venv module")
	ErrNoPip         = errors.New("Python has no pip")
	ErrPipTooOld     = errors.New("pip is too old")
	ErrConfiguration = errors.New("pip refuses its configuration")
	ErrNoAnswer      = errors.New("the interpreter did not answer")
)

// Oldest versions that can do the work. pip 22.3 brought --python (22.2 brought
// --report).
const (
	oldestPythonMajor, oldestPythonMinor = 3, 8
	oldestPipMajor, oldestPipMinor       = 22, 3
)

// Error says why an interpreter cannot be used.
type Error struct {
	// Python is the interpreter as the user named it.
	Python string
	// Err is the cause, one of the sentinels of this package, wrapped with what
	// is known about it.
	Err error
	// Advice is what to type next; empty when nothing is known to help.
	Advice string
}

func (e *Error) Error() string { return fmt.Sprintf("ask interpreter %q: %v", e.Python, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Hint returns Advice, for callers that print hints of any error.
func (e *Error) Hint() string { return e.Advice }

// usageError is an interpreter that refuses an option.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func noPython(python string, err error) error {
	return &Error{
		Python: python,
		Err:    fmt.Errorf("%w: %w", ErrNoPython, err),
		Advice: "install Python 3.8 or newer (Debian, Ubuntu: apt install python3 python3-venv python3-pip), or name one with --python",
	}
}

// checkPython refuses an interpreter that cannot do the work, pip aside.
func checkPython(python string, a *answer) error {
	if olderThan(a.Version, oldestPythonMajor, oldestPythonMinor) {
		return &Error{
			Python: python,
			Err:    fmt.Errorf("%w: version %s, need %d.%d", ErrPythonTooOld, a.Version, oldestPythonMajor, oldestPythonMinor),
			Advice: "name a newer interpreter with --python, for example --python python3.12",
		}
	}
	if !a.Venv {
		return &Error{
			Python: python,
			Err:    fmt.Errorf("%w (version %s)", ErrNoVenv, a.Version),
			Advice: "apt install python3-venv (Debian, Ubuntu), or name another interpreter with --python",
		}
	}
	return nil
}

// checkPip refuses an interpreter whose pip is missing or too old.
func checkPip(python string, a *answer) error {
	quoted := shellWord(a.Executable)
	if a.Pip.Version == "" {
		advice := "apt install python3-pip (Debian, Ubuntu), or name an interpreter that has pip with --python"
		if a.Ensurepip {
			advice = quoted + " -m ensurepip --upgrade (or apt install python3-pip where the system manages Python)"
		}
		return &Error{Python: python, Err: fmt.Errorf("%w: %s", ErrNoPip, a.Pip.Missing), Advice: advice}
	}
	if olderThan(a.Pip.Version, oldestPipMajor, oldestPipMinor) {
		advice := quoted + " -m pip install --upgrade pip"
		if a.Environment == "" {
			advice = fmt.Sprintf("%s -m venv ~/.pip-witness-python && ~/.pip-witness-python/bin/python -m pip install --upgrade pip, then --python ~/.pip-witness-python/bin/python", quoted)
		}
		return &Error{
			Python: python,
			Err:    fmt.Errorf("%w: version %s, need %d.%d (--python, --report)", ErrPipTooOld, a.Pip.Version, oldestPipMajor, oldestPipMinor),
			Advice: advice,
		}
	}
	return nil
}

// shellWord quotes a path for a command line that a person pastes.
func shellWord(path string) string {
	if path == "" || strings.ContainsAny(path, " \t'\"\\$`&;|<>()*?[]#~!{}") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return filepath.Clean(path)
}
