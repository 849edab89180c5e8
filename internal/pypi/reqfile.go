package pypi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// RequirementSet is what one or more requirement files ask for, includes
// resolved, everything in the order of the files.
type RequirementSet struct {
	// Files are the files that were read, absolute, each once, in order.
	Files []SetFile
	// Requirements are what is to be installed, Constraints what only limits versions.
	Requirements []RequirementLine
	Constraints  []RequirementLine
	// Options are the lines that set an option of the installer.
	Options []OptionLine
}

// SetFile is one file of a set.
type SetFile struct {
	Path       string
	Constraint bool
}

// RequirementLine is one requirement of a file.
type RequirementLine struct {
	// File is absolute; Line counts from 1 and is the first of a continued line.
	File string
	Line int
	// Argument is the classified requirement.
	Argument Argument
	// Hashes are "algorithm:hex", as --hash gives them.
	Hashes []string
	// Options are other options of the requirement, such as --config-settings.
	Options []string
}

// OptionLine is a line with an option of the installer, for example
// --index-url. Value is "" for a switch. Credentials in it are not redacted.
type OptionLine struct {
	File  string
	Line  int
	Name  string // long form: "--index-url"
	Value string
}

// LocalPaths returns every local path that an installer must see: the files of
// the set, the wheels, sdists and directories they name, and --find-links
// directories; sorted, each once.
func (s *RequirementSet) LocalPaths() []string {
	var out []string
	for _, f := range s.Files {
		out = append(out, f.Path)
	}
	for _, list := range [][]RequirementLine{s.Requirements, s.Constraints} {
		for _, r := range list {
			if r.Argument.Path != "" {
				out = append(out, r.Argument.Path)
			}
		}
	}
	for _, o := range s.Options {
		if o.Name == "--find-links" && urlScheme(o.Value) == "" {
			out = append(out, absolute(o.Value, filepath.Dir(o.File)))
		} else if o.Name == "--find-links" && FilePath(o.Value) != "" {
			out = append(out, FilePath(o.Value))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func absolute(p, dir string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}

// ReadRequirements reads a requirements file (a constraints file when
// constraint is set) and all that it includes. lookup answers ${NAME}; a name
// that it does not know is left as it stands, as the installer does. All errors
// are [InputError] with file and line.
//
// dir is the directory from which the installer will be started: a local path
// in a requirement is relative to it, an include is relative to its file.
func ReadRequirements(path, dir string, constraint bool, lookup func(string) (string, bool)) (RequirementSet, error) {
	r := &fileReader{dir: dir, lookup: lookup}
	err := r.read(absolute(path, dir), constraint, &InputError{})
	return r.set, err
}

// fileReader collects a set over included files.
type fileReader struct {
	set    RequirementSet
	dir    string
	lookup func(string) (string, bool)
	open   []string // files being read, outermost first
	lines  int
}

// read adds one file; from says which line includes it.
func (r *fileReader) read(path string, constraint bool, from *InputError) error {
	wrap := func(hint string, err error) error {
		return &InputError{Err: err, Hint: hint, File: from.File, Line: from.Line}
	}
	if slices.Contains(r.open, path) {
		return wrap("remove the include", fmt.Errorf("requirements file %q includes itself", path))
	}
	if len(r.open) >= maxRequirementDeep {
		return wrap("flatten the files", fmt.Errorf("requirements file %q: more than %d nested includes", path, maxRequirementDeep))
	}
	f := SetFile{Path: path, Constraint: constraint}
	if slices.Contains(r.set.Files, f) {
		return nil
	}
	data, err := readUserFile(path)
	if err != nil {
		return wrap("check the path", fmt.Errorf("requirements file: %w", err))
	}
	r.set.Files = append(r.set.Files, f)
	r.open = append(r.open, path)
	defer func() { r.open = r.open[:len(r.open)-1] }()

	lines, err := logicalLines(data)
	if err != nil {
		return &InputError{Err: err, Hint: "save the file as UTF-8 text", File: path, Line: 1}
	}
	for _, l := range lines {
		if r.lines++; r.lines > maxRequirements {
			return &InputError{Err: fmt.Errorf("more than %d requirements", maxRequirements), Hint: "check fewer at once", File: path, Line: l.number}
		}
		if err := r.line(path, l.number, r.expand(l.text), constraint); err != nil {
			return at(err, path, l.number)
		}
	}
	return nil
}

// at adds the place to an error that has none yet.
func at(err error, file string, line int) error {
	var in *InputError
	if errors.As(err, &in) {
		if in.File != "" {
			return err
		}
		return &InputError{Err: in.Err, Hint: in.Hint, File: file, Line: line}
	}
	return &InputError{Err: err, Hint: "correct the line", File: file, Line: line}
}

func readUserFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRequirementFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	if len(data) > maxRequirementFile {
		return nil, fmt.Errorf("read %q: more than %d bytes", path, maxRequirementFile)
	}
	return data, nil
}

// logicalLine is a line after continuation and without comment.
type logicalLine struct {
	number int
	text   string
}

// logicalLines joins lines that end with a backslash, drops comments (a '#' at
// the start or after white space) and empty lines.
func logicalLines(data []byte) ([]logicalLine, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, errors.New("not UTF-8 text")
	}
	var out []logicalLine
	var pending *logicalLine
	n := 0
	flush := func() {
		if pending != nil {
			if pending.text = strings.TrimSpace(withoutComment(pending.text)); pending.text != "" {
				out = append(out, *pending)
			}
			pending = nil
		}
	}
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		comment := strings.HasPrefix(strings.TrimSpace(line), "#")
		if pending == nil {
			pending = &logicalLine{number: n}
		} else if comment {
			line = " " + strings.TrimSpace(line) // so that the comment is recognised within the joined line
		}
		body, continued := strings.CutSuffix(line, `\`)
		if comment || !continued {
			pending.text += line
			flush()
			continue
		}
		pending.text += body
	}
	flush()
	return out, nil
}

func withoutComment(s string) string {
	for i := range len(s) {
		if s[i] == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			return s[:i]
		}
	}
	return s
}

// expand replaces ${NAME} where NAME is upper case, digits and underscores.
func (r *fileReader) expand(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			break
		}
		name, rest, ok := strings.Cut(s[i+2:], "}")
		if !ok {
			break
		}
		b.WriteString(s[:i])
		value, known := "", false
		if name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && r.lookup != nil {
			value, known = r.lookup(name)
		}
		if known {
			b.WriteString(value)
		} else {
			b.WriteString("${" + name + "}")
		}
		s = rest
	}
	return b.String() + s
}

// line reads one logical line.
func (r *fileReader) line(file string, number int, text string, constraint bool) error {
	if strings.HasPrefix(text, "-") {
		return r.optionLine(file, number, text, constraint)
	}
	return r.requirement(file, number, text, constraint, false)
}

func (r *fileReader) requirement(file string, number int, text string, constraint, editable bool) error {
	body, options := splitOptions(text)
	out := RequirementLine{File: file, Line: number}
	for i := 0; i < len(options); i++ {
		name, value, joined := strings.Cut(options[i], "=")
		if !joined && i+1 < len(options) && !strings.HasPrefix(options[i+1], "-") {
			i++
			value = options[i]
		}
		if name != "--hash" {
			out.Options = append(out.Options, strings.TrimSuffix(name+"="+value, "="))
			continue
		}
		if algorithm, hex, ok := strings.Cut(value, ":"); !ok || algorithm == "" || hex == "" {
			return inputError("write --hash=sha256:HEX", "hash %q", value)
		}
		out.Hashes = append(out.Hashes, strings.Trim(value, `"'`))
	}
	var err error
	if out.Argument, err = ClassifyArgument(body, r.dir, editable); err != nil {
		return err
	}
	if constraint {
		r.set.Constraints = append(r.set.Constraints, out)
	} else {
		r.set.Requirements = append(r.set.Requirements, out)
	}
	return nil
}

// splitOptions splits a requirement from the options behind it, which start at
// the first word with a leading '-'.
func splitOptions(text string) (body string, options []string) {
	for i := 1; i < len(text); i++ {
		if text[i] == '-' && (text[i-1] == ' ' || text[i-1] == '\t') {
			return strings.TrimSpace(text[:i]), strings.Fields(text[i:])
		}
	}
	return text, nil
}

// optionName maps short and older spellings to the long option, and says
// whether it takes a value.
func optionName(word string) (name string, value, known bool) {
	switch word {
	case "-r", "--requirement":
		return "--requirement", true, true
	case "-c", "--constraint":
		return "--constraint", true, true
	case "-e", "--editable":
		return "--editable", true, true
	case "-i", "--index-url", "--pypi-url":
		return "--index-url", true, true
	case "-f", "--find-links":
		return "--find-links", true, true
	case "--extra-index-url", "--no-binary", "--only-binary", "--trusted-host", "--use-feature":
		return word, true, true
	case "--no-index", "--prefer-binary", "--require-hashes", "--pre":
		return word, false, true
	}
	return word, false, false
}

func (r *fileReader) optionLine(file string, number int, text string, constraint bool) error {
	for text != "" {
		word, rest, _ := strings.Cut(text, " ")
		rest = strings.TrimSpace(rest)
		value, joined := "", false
		if strings.HasPrefix(word, "--") {
			word, value, joined = strings.Cut(word, "=")
		} else if len(word) > 2 {
			word, value, joined = word[:2], strings.TrimPrefix(word[2:], "="), true // -rFILE
		}
		name, takes, known := optionName(word)
		switch {
		case !known:
			return inputError("give the option on the command line", "option %q is not one of a requirements file", word)
		case takes && !joined && (name == "--editable" || name == "--requirement" || name == "--constraint"):
			value, rest = rest, ""
		case takes && !joined:
			value, rest, _ = strings.Cut(rest, " ")
		case joined && name == "--editable" && rest != "":
			value, rest = value+" "+rest, ""
		}
		value = strings.Trim(value, `"'`)
		if takes && value == "" {
			return inputError("write a value after it", "option %q without a value", word)
		}
		if err := r.option(file, number, name, value, constraint); err != nil {
			return err
		}
		text = strings.TrimSpace(rest)
	}
	return nil
}

func (r *fileReader) option(file string, number int, name, value string, constraint bool) error {
	switch name {
	case "--requirement", "--constraint":
		if s := urlScheme(value); s == "file" && FilePath(value) != "" {
			value = FilePath(value)
		} else if s != "" {
			return inputError("download the file and name it by its path", "include %q is a URL", WithoutCredentials(value))
		}
		return r.read(absolute(value, filepath.Dir(file)), constraint || name == "--constraint", &InputError{File: file, Line: number})
	case "--editable":
		return r.requirement(file, number, value, constraint, true)
	}
	r.set.Options = append(r.set.Options, OptionLine{File: file, Line: number, Name: name, Value: value})
	return nil
}
