package conformance

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is one line of the tables of trapped calls.
type row struct {
	file     string // absolute
	constant string // SYS_OPENAT
	name     string // openat
	start    int    // of the number's expression, in bytes
	end      int
}

// tableRows parses the tables of the capture package: every composite literal
// that begins with a number of x/sys and a name.
func tableRows(t *testing.T) []row {
	t.Helper()
	files, err := filepath.Glob("../table*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the tables of the capture package: %q, %v", files, err)
	}
	var rows []row
	for _, name := range files {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || len(literal.Elts) < 2 {
				return true
			}
			number, ok := literal.Elts[0].(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(number.Sel.Name, "SYS_") {
				return true
			}
			text, ok := literal.Elts[1].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a row without a name", positions.Position(literal.Pos()))
				return true
			}
			called, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row{
				path, number.Sel.Name, called, positions.Position(number.Pos()).Offset, positions.Position(number.End()).Offset,
			})
			return true
		})
	}
	if len(rows) < 80 {
		t.Fatalf("%d rows were found in %q: the tables have another shape now", len(rows), files)
	}
	return rows
}

// of tells whether the row belongs to an architecture.
func (r row) of(arch string) bool {
	base := strings.TrimSuffix(filepath.Base(r.file), ".go")
	_, suffix, found := strings.Cut(base, "_")
	return !found || suffix == arch
}

// sysNumbers are the call numbers of x/sys for an architecture.
func sysNumbers(t *testing.T, arch string) map[string]int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatalf("find golang.org/x/sys: %v", err)
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "unix", "zsysnum_linux_"+arch+".go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		value, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		if number, err := strconv.Atoi(value.Value); err == nil {
			numbers[spec.Names[0].Name] = number
		}
		return true
	})
	if len(numbers) < 250 {
		t.Fatalf("%d numbers in %q", len(numbers), path)
	}
	return numbers
}

// headerNumbers are the call numbers of a header of the kernel; a name may stand
// for another one.
func headerNumbers(t *testing.T, path string) map[string]int {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Skipf("needs the headers of the kernel (linux-libc-dev): %v", err)
	}
	defer file.Close()
	define := regexp.MustCompile(`^#define (__NR\w+)\s+(\w+)`)
	text := map[string]string{}
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if m := define.FindStringSubmatch(scanner.Text()); m != nil {
			text[m[1]] = m[2]
		}
	}
	numbers := map[string]int{}
	for name, value := range text {
		for range 4 {
			if other, is := text[value]; is {
				value = other
			}
		}
		if number, err := strconv.Atoi(value); err == nil {
			numbers[strings.TrimPrefix(name, "__NR_")] = number
		}
	}
	return numbers
}

// The numbers that are trapped are those of the kernel's own headers, on each
// architecture; a call that the headers do not know is newer than all they know.
func TestTablesAgainstHeaders(t *testing.T) {
	for arch, header := range map[string]string{
		"amd64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "arm64": "/usr/include/asm-generic/unistd.h",
	} {
		t.Run(arch, func(t *testing.T) {
			kernel, library := headerNumbers(t, header), sysNumbers(t, arch)
			newest := slices.Max(slices.Collect(maps.Values(kernel)))
			compared := 0
			for _, r := range tableRows(t) {
				if !r.of(arch) {
					continue
				}
				number, defined := library[r.constant]
				if !defined {
					t.Errorf("unix.%s does not exist on %s", r.constant, arch)
					continue
				}
				if want := strings.ToLower(strings.TrimPrefix(r.constant, "SYS_")); r.name != want {
					t.Errorf("unix.%s is called %q, want %q", r.constant, r.name, want)
				}
				switch in, known := kernel[r.name]; {
				case !known && number <= newest:
					t.Errorf("%s is %d, and the headers, which end at %d, do not know it", r.name, number, newest)
				case known && in != number:
					t.Errorf("%s is %d, in the headers %d", r.name, number, in)
				case known:
					compared++
				}
			}
			if compared < 70 {
				t.Errorf("only %d numbers were compared", compared)
			}
		})
	}
}

// A call that both architectures have is trapped on both, and none twice.
func TestTablesOfBothArchitectures(t *testing.T) {
	architectures := []string{"amd64", "arm64"}
	trapped, exists := map[string]map[string]bool{}, map[string]map[string]int{}
	for _, arch := range architectures {
		trapped[arch], exists[arch] = map[string]bool{}, sysNumbers(t, arch)
		for _, r := range tableRows(t) {
			if !r.of(arch) {
				continue
			}
			if trapped[arch][r.constant] {
				t.Errorf("%s is twice in the table of %s", r.name, arch)
			}
			trapped[arch][r.constant] = true
		}
	}
	for i, arch := range architectures {
		other := architectures[1-i]
		for name := range trapped[arch] {
			if _, there := exists[other][name]; there && !trapped[other][name] {
				t.Errorf("%s is trapped on %s and not on %s, which has it too", name, arch, other)
			}
		}
	}
}

// What is not trapped of the calls that take a path or an address is not
// forgotten but left out: each is here with the reason.
func TestUntrappedCallsAreKnown(t *testing.T) {
	left := map[string]string{}
	for reason, names := range map[string]string{
		"looks and changes nothing; more than a third of all calls": "STAT LSTAT NEWFSTATAT STATX ACCESS FACCESSAT FACCESSAT2 " +
			"READLINK READLINKAT STATFS GETXATTR LGETXATTR LISTXATTR LLISTXATTR NAME_TO_HANDLE_AT INOTIFY_ADD_WATCH GETXATTRAT LISTXATTRAT",
		"changes where relative names start, which is read from the kernel each time": "CHDIR FCHDIR",
		"takes an address of a socket that others reach":                              "ACCEPT ACCEPT4 GETSOCKNAME GETPEERNAME RECVFROM RECVMSG RECVMMSG",
		"acts on an open descriptor":                                                  "FTRUNCATE FALLOCATE FREMOVEXATTR FGETXATTR FLISTXATTR SHUTDOWN SENDFILE SPLICE COPY_FILE_RANGE VMSPLICE TEE",
		"changes times or attributes, not content or rights":                          "UTIME UTIMES FUTIMESAT UTIMENSAT REMOVEXATTR LREMOVEXATTR SETXATTRAT REMOVEXATTRAT",
		"needs a right that no process inside has over what it did not make itself":   "SWAPOFF FSPICK USELIB FANOTIFY_MARK QUOTACTL_FD LOOKUP_DCOOKIE FSCONFIG OPEN_TREE_ATTR",
		"makes two sockets that only its own descendants reach":                       "SOCKETPAIR",
		"answers nothing of the outside":                                              "SETSOCKOPT GETSOCKOPT",
	} {
		for name := range strings.FieldsSeq(names) {
			left["SYS_"+name] = reason
		}
	}
	trapped := map[string]bool{}
	for _, r := range tableRows(t) {
		trapped[r.constant] = true
	}
	// The names are a heuristic for calls that are added to the kernel; looks are
	// those that only sound so.
	takes := regexp.MustCompile(`SYS_(.*(STAT|XATTR|LINK|OPEN|MOUNT|MSG|SOCK|PATH|DIR|CHOWN|CHMOD|TIME(S|NSAT|SAT)$|EXEC|NOD|RENAME|TRUNCATE|ACCESS|SWAP|UNLINK).*|CONNECT|BIND|LISTEN|ACCEPT4?|SENDTO|CHROOT|PIVOT_ROOT|ACCT|CREAT|SPLICE|SENDFILE|FSPICK)$`)
	looks := regexp.MustCompile(`SYS_(MSG(GET|SND|RCV|CTL)|MQ_(OPEN|UNLINK)|(GET|PUT)PMSG|FSTAT.*|USTAT|CACHESTAT|(LIST|STAT)MOUNT|PIDFD_OPEN|TIMES|SET_MEMPOLICY_HOME_NODE)$`)
	for _, arch := range []string{"amd64", "arm64"} {
		for name := range sysNumbers(t, arch) {
			if takes.MatchString(name) && !looks.MatchString(name) && !trapped[name] && left[name] == "" {
				t.Errorf("%s (%s) takes a path or an address, is not trapped, and no reason is given", name, arch)
			}
		}
	}
	for name := range left {
		if trapped[name] {
			t.Errorf("%s is trapped, and here as left out", name)
		}
	}
}
