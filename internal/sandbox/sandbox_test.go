package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"pip-witness/internal/sandbox"
)

// supervisorVariable makes the test binary a supervisor of its own, which tests
// can kill.
const supervisorVariable = "PIP_WITNESS_TEST_SUPERVISOR"

func TestMain(m *testing.M) {
	sandbox.Main()
	if dir := os.Getenv(supervisorVariable); dir != "" {
		os.Exit(superviseForever(dir))
	}
	os.Exit(m.Run())
}

// start starts a sandbox; a machine that does not allow it skips.
func start(t *testing.T, spec sandbox.Spec) *sandbox.Box {
	t.Helper()
	if spec.RootDir == "" {
		spec.RootDir = t.TempDir()
	}
	box, err := sandbox.Start(context.Background(), spec)
	var unavailable *sandbox.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skipf("needs a sandbox: %v (%s)", err, unavailable.Hint)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	return box
}

// run runs one command and returns what it printed, on both outputs, and its
// status.
func run(t *testing.T, box *sandbox.Box, c sandbox.Command) (string, int) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if c.Stdout, c.Stderr = write, write; c.Dir == "" {
		c.Dir = "/"
	}
	if c.Env == nil {
		c.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/home/user"}
	}
	running, err := box.Run(c)
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	status, err := running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), status
}

func shell(t *testing.T, box *sandbox.Box, script string) string {
	t.Helper()
	out, _ := run(t, box, sandbox.Command{Args: []string{"/bin/sh", "-c", script}})
	return strings.TrimSpace(out)
}

// What a command sees of the host, and what it does not.
func TestView(t *testing.T) {
	home := t.TempDir()
	box := start(t, sandbox.Spec{
		Namespaces: true, Hostname: "box", Hidden: []string{"/opt"},
		Binds: []sandbox.Bind{{Source: home, Target: "/home/user", Writable: true}},
	})
	uid, gid := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())
	for _, c := range []struct{ name, script, want string }{
		{"home is empty", "ls -A /root /home | grep -v -e user -e : -e '^$' | cat", ""},
		{"hidden is empty", "ls -A /opt", ""},
		{"run is empty", "ls -A /run", ""},
		{"temporary directory is empty", "ls -A /tmp", ""},
		{"host is read-only", "touch /etc/passwd /usr/x /bin/ls /var/x 2>&1 | grep -c -i -e read-only -e denied", "4"},
		{"root is read-only", "mkdir /x 2>&1 | grep -c -i read-only", "1"},
		{"run is read-only", "touch /run/x 2>&1 | grep -c -i read-only", "1"},
		{"dev is read-only", "touch /dev/x 2>&1 | grep -c -i read-only", "1"},
		{"sys is read-only", "mkdir /sys/fs/cgroup/x 2>&1 | grep -c -i -e read-only -e 'no such'", "1"},
		{"throw-away directories can be written", "touch /tmp/x /home/user/x /dev/shm/x && echo ok", "ok"},
		{"devices", "ls /dev", "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero"},
		{"devices work", "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c", "4\n3"},
		{"only its own processes", "ls /proc | grep -c '^[0-9]'", "3"}, // init, the shell and grep's or ls's
		{"host name", "cat /proc/sys/kernel/hostname", "box"},
		{"user id map", "tr -s ' ' < /proc/self/uid_map", " " + uid + " " + uid + " 1"},
		{"group id map", "tr -s ' ' < /proc/self/gid_map", " " + gid + " " + gid + " 1"},
		{"groups cannot be set", "cat /proc/self/setgroups", "deny"},
		{"no capabilities", "grep -h Cap /proc/self/status | tr -d '\\t'", "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\nCapBnd:0000000000000000\nCapAmb:0000000000000000"},
		{"no new privileges", "grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1"},
		{"no core dumps", "ulimit -c", "0"},
		{"init cannot be read", "cat /proc/1/environ /proc/1/mem /proc/1/maps 2>&1 | grep -c -i denied", "3"},
		{"init's root cannot be entered", "ls /proc/1/root /proc/1/cwd 2>&1 | grep -c -i denied", "2"},
		{"init cannot be killed", "kill -9 1; kill -0 1 && echo alive", "alive"},
		{"only loopback", "ls /sys/class/net 2>/dev/null | cat; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", ""},
		{"no mounts", "mount -t tmpfs none /tmp 2>&1 | grep -c -i -e permission -e superuser -e denied", "1"},
		{"no suid", "mount | grep -v nosuid | grep -v -e ' on /dev/' -e ' on /proc' | wc -l", "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := shell(t, box, c.script)
			want := strings.TrimSpace(c.want)
			switch c.name {
			case "only its own processes":
				if n, err := strconv.Atoi(got); err != nil || n > 4 {
					t.Errorf("%s processes", got)
				}
				return
			case "only loopback":
				lines := strings.Fields(got)
				if len(lines) == 0 || lines[len(lines)-1] != "lo" || slices.Contains(lines, "eth0") && len(shell(t, box, "tail -n +4 /proc/net/dev")) > 0 {
					t.Errorf("interfaces %q", got)
				}
				return
			}
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// As the host's root without capabilities a process is still the owner of what
// /proc shows of the machine: core_pattern alone would let it run a program
// outside.
func TestMachineSettingsAreReadOnly(t *testing.T) {
	box := start(t, sandbox.Spec{Namespaces: true})
	script := `for f in $(find /proc -maxdepth 5 -path '/proc/[0-9]*' -prune -o -type f -perm -u+w -print 2>/dev/null); do
	(: >> "$f") 2>/dev/null && echo "$f"
done; true`
	if got := shell(t, box, script); got != "" {
		t.Errorf("can be opened for writing:\n%s", got)
	}
	if got := shell(t, box, "cat /proc/sys/kernel/hostname /proc/meminfo /proc/cpuinfo > /dev/null && echo readable"); got != "readable" {
		t.Errorf("can be read: %q", got)
	}
}

// Nothing leaves: there is no route to anywhere, and what serves on the host's
// loopback is not on the sandbox's.
func TestNetwork(t *testing.T) {
	host, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	abstract, err := net.Listen("unix", "@pip-witness-test-"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	const port = 34567
	box := start(t, sandbox.Spec{Namespaces: true, GatewayPort: port})
	go func() {
		for {
			c, err := box.Listener().Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "hello from outside")
			c.Close()
		}
	}()
	python := pythonPath(t)
	script := `
import errno, socket, sys
def attempt(family, kind, address):
    s = socket.socket(family, kind); s.settimeout(3)
    try: s.connect(address); return s.recv(100).decode() if kind == socket.SOCK_STREAM else "connected"
    except OSError as e: return errno.errorcode.get(e.errno, str(e))
print(attempt(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(sys.argv[1]))))
print(attempt(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(sys.argv[2]))))
print(attempt(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80)))
print(attempt(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)))
print(attempt(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + sys.argv[3]))
`
	out, _ := run(t, box, sandbox.Command{Args: []string{
		python, "-I", "-S", "-c", script, strconv.Itoa(port), strconv.Itoa(host.Addr().(*net.TCPAddr).Port), strings.TrimPrefix(abstract.Addr().String(), "@"),
	}})
	if diff := cmp.Diff("hello from outside\nECONNREFUSED\nENETUNREACH\nENETUNREACH\nECONNREFUSED\n", out); diff != "" {
		t.Error(diff)
	}
}

// pythonPath is an interpreter that the sandbox shows: one that is not below a
// home directory.
func pythonPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "/usr/local/bin/python3"} {
		if path, err := filepath.EvalSymlinks(name); err == nil && !strings.HasPrefix(path, "/root") && !strings.HasPrefix(path, "/home") {
			return path
		}
	}
	t.Skip("needs a python3 below /usr")
	return ""
}

// With every address inside, a socket that the supervisor opened for one gets
// what is sent there.
func TestEverywhere(t *testing.T) {
	box := start(t, sandbox.Spec{Namespaces: true, Everywhere: true})
	python := pythonPath(t)
	file, err := box.Listen("tcp", "203.0.113.9", 443)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.FileListener(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			fmt.Fprint(c, "caught")
			c.Close()
		}
	}()
	script := `import socket; s = socket.create_connection(("203.0.113.9", 443), 5); print(s.recv(10).decode())`
	if out, _ := run(t, box, sandbox.Command{Args: []string{python, "-I", "-S", "-c", script}}); strings.TrimSpace(out) != "caught" {
		t.Errorf("%q", out)
	}
}

// Binds and overlays: what is changed in an overlay lands in its upper
// directory, and the lower one stays as it is.
func TestBindsAndOverlays(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"lower", "upper", "work", "shared", "seen"} {
		if err := os.Mkdir(in(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"lower/kept", "lower/changed", "lower/removed", "seen/file", "one"} {
		if err := os.WriteFile(in(name), []byte("host"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(in("work/work"), 0o700) }) // the overlay's own, so that an ordinary user can remove it
	box := start(t, sandbox.Spec{
		Namespaces: true,
		Overlays:   []sandbox.Overlay{{Lower: in("lower"), Upper: in("upper"), Work: in("work"), Target: "/home/user"}},
		Binds: []sandbox.Bind{
			{Source: in("shared"), Target: "/home/user/shared", Writable: true}, {Source: in("seen"), Target: "/tmp/seen"}, {Source: in("one"), Target: "/tmp/one"},
		},
		Files: map[string][]byte{"/run/pip-witness/config": []byte("given")},
	})
	got := shell(t, box, `cd /home/user && cat kept changed && echo new > changed && rm removed && echo made > made && echo s > shared/file
cat /tmp/seen/file /tmp/one /run/pip-witness/config
{ echo x > /tmp/seen/file; echo x > /tmp/one; echo x > /run/pip-witness/config; } 2>/dev/null; ls`)
	if diff := cmp.Diff("hosthosthosthostgivenchanged\nkept\nmade\nshared", got); diff != "" {
		t.Errorf("inside: %s", diff)
	}
	for name, want := range map[string]string{
		"lower/kept": "host", "lower/changed": "host", "lower/removed": "host", "seen/file": "host", "one": "host",
		"upper/changed": "new\n", "upper/made": "made\n", "shared/file": "s\n",
	} {
		if content, err := os.ReadFile(in(name)); err != nil || string(content) != want {
			t.Errorf("%s outside: %q, %v; want %q", name, content, err, want)
		}
	}
	if info, err := os.Lstat(in("upper/removed")); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Errorf("what was removed leaves no whiteout: %v, %v", info, err)
	}
	if _, err := os.Lstat(in("upper/kept")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was only read is in the upper directory: %v", err)
	}
}

func TestStatus(t *testing.T) {
	for _, confined := range []bool{true, false} {
		box := start(t, sandbox.Spec{Namespaces: confined})
		for _, c := range []struct {
			name    string
			command sandbox.Command
			want    int
			says    string
		}{
			{"success", sandbox.Command{Args: []string{"true"}}, 0, ""},
			{"code", sandbox.Command{Args: []string{"/bin/sh", "-c", "exit 17"}}, 17, ""},
			{"signal", sandbox.Command{Args: []string{"/bin/sh", "-c", "kill -TERM $$"}}, 128 + int(unix.SIGTERM), ""},
			{"no such program", sandbox.Command{Args: []string{"no-such-program"}}, 127, `run "no-such-program": exec: "no-such-program": executable file not found in $PATH`},
			{"no such path", sandbox.Command{Args: []string{"/no/such/program"}}, 127, `run "/no/such/program": no such file or directory`},
			{"no such directory", sandbox.Command{Args: []string{"true"}, Dir: "/no/such"}, 127, `run ["true"]: change directory to "/no/such": no such file or directory`},
			{"environment", sandbox.Command{Args: []string{"/usr/bin/env"}, Env: []string{"PATH=/usr/bin", "A=b c"}}, 0, "A=b c"},
		} {
			t.Run(fmt.Sprintf("%s, confined %v", c.name, confined), func(t *testing.T) {
				out, status := run(t, box, c.command)
				if status != c.want || !strings.Contains(out, c.says) {
					t.Errorf("status %d, want %d; output %q, want %q", status, c.want, out, c.says)
				}
			})
		}
	}
}

func TestStartFails(t *testing.T) {
	for _, c := range []struct {
		name string
		spec sandbox.Spec
		want string
	}{
		{"bind of nothing", sandbox.Spec{Binds: []sandbox.Bind{{Source: "/no/such", Target: "/tmp/x"}}}, `bind "/no/such": stat /no/such: no such file or directory`},
		{"file in the wrong place", sandbox.Spec{Files: map[string][]byte{"/etc/x": nil}}, `write "/etc/x": only files below /run can be made`},
		{"overlay of nothing", sandbox.Spec{Overlays: []sandbox.Overlay{{Lower: "/no/such", Upper: "/no", Work: "/no", Target: "/tmp/x"}}}, `overlay "/tmp/x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			start(t, sandbox.Spec{Namespaces: true}).Close()
			c.spec.Namespaces, c.spec.RootDir = true, t.TempDir()
			box, err := sandbox.Start(context.Background(), c.spec)
			if err == nil {
				box.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// sleeper is a shell script of which a part outlives the command in a session of
// its own, with this name.
func sleeper(name string) string {
	return "setsid -f sh -c 'exec -a " + name + " sleep 600' 2>/dev/null || (setsid sleep 600 & ); sleep 600 & sleep 600"
}

// sleeping counts the processes of the host that have the variable in their
// environment.
func sleeping(t *testing.T, variable string) int {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if content, err := os.ReadFile(e); err == nil && slices.Contains(strings.Split(string(content), "\x00"), variable) {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("after 10 s still not: %s", what)
}

// Kill and Close end whatever is inside, also what left the session and the
// process group of the command.
func TestKillAndClose(t *testing.T) {
	for _, confined := range []bool{true, false} {
		for _, how := range []string{"kill", "close"} {
			t.Run(fmt.Sprintf("%s, confined %v", how, confined), func(t *testing.T) {
				box := start(t, sandbox.Spec{Namespaces: confined})
				mark := fmt.Sprintf("MARK=%d-%v-%s", os.Getpid(), confined, how)
				running, err := box.Run(sandbox.Command{
					Args: []string{"/bin/sh", "-c", sleeper("x")}, Env: []string{"PATH=/usr/bin:/bin", mark}, Dir: "/",
				})
				if err != nil {
					t.Fatal(err)
				}
				eventually(t, "three processes are there", func() bool { return sleeping(t, mark) >= 3 })
				if how == "close" {
					box.Close()
				} else {
					if err := box.Kill(); err != nil {
						t.Fatal(err)
					}
					if status, err := running.Wait(); err != nil || status != 128+int(unix.SIGKILL) {
						t.Errorf("status %d, %v", status, err)
					}
				}
				eventually(t, "no process is left", func() bool { return sleeping(t, mark) == 0 })
			})
		}
	}
}

// superviseForever runs a command in a sandbox until it is killed.
func superviseForever(dir string) int {
	box, err := sandbox.Start(context.Background(), sandbox.Spec{Namespaces: true, RootDir: dir})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	running, err := box.Run(sandbox.Command{
		Args: []string{"/bin/sh", "-c", sleeper("x")}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin", "MARK=" + filepath.Base(dir)},
	})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("started")
	_, _ = running.Wait()
	return 0
}

// A supervisor that is killed leaves nothing behind.
func TestSupervisorKilled(t *testing.T) {
	start(t, sandbox.Spec{Namespaces: true}).Close()
	dir, err := os.MkdirTemp(t.TempDir(), "root")
	if err != nil {
		t.Fatal(err)
	}
	supervisor := exec.Command("/proc/self/exe")
	supervisor.Env = append(os.Environ(), supervisorVariable+"="+dir)
	out, err := supervisor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("supervisor said %q, %v", line, err)
	}
	mark := "MARK=" + filepath.Base(dir)
	eventually(t, "three processes are there", func() bool { return sleeping(t, mark) >= 3 })
	if err := supervisor.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = supervisor.Wait()
	eventually(t, "no process is left", func() bool { return sleeping(t, mark) == 0 })
}

// An ordinary user gets the same sandbox.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else: the other tests run as an ordinary user already")
	}
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "sandbox.test")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "-test.count=1")
	command.Dir, command.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "HOME=" + dir}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := command.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "PASS") {
		t.Errorf("as user 65534: %v\n%s", err, out)
	}
}
