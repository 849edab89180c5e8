package seal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pip-witness/attestation"
)

// supervisorVariable makes the test binary a supervisor: it starts a signer with
// the key file of that name, or with a key of its own, has one message signed,
// prints the signer's process id and waits.
const supervisorVariable = "PIP_WITNESS_TEST_SUPERVISOR"

// ownKey is no name of a key file.
const ownKey = "-"

func TestMain(m *testing.M) {
	Main()
	if keyFile := os.Getenv(supervisorVariable); keyFile != "" {
		if err := supervise(keyFile); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func supervise(keyFile string) error {
	if keyFile == ownKey {
		keyFile = ""
	}
	starting, err := Start(grantOne(keyFile))
	if err != nil {
		return err
	}
	signer, err := starting.Wait()
	if err != nil {
		return err
	}
	if _, err := attestation.Sign(context.Background(), attestation.PayloadType, []byte("{}"), signer); err != nil {
		return err
	}
	fmt.Println(signer.process.command.Process.Pid)
	time.Sleep(10 * time.Minute)
	return nil
}

func grantOne(keyFile string) Grant {
	return Grant{KeyFile: keyFile, PayloadTypes: []string{attestation.PayloadType}, Signatures: 1}
}

// startSigner starts one that ends with the test.
func startSigner(t *testing.T, grant Grant) *Signer {
	t.Helper()
	starting, err := Start(grant)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(starting.Close)
	signer, err := starting.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func writeKey(t *testing.T, dir, kind string) (string, *PrivateKey) {
	t.Helper()
	key, err := GenerateKey(kind)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, kind+".pem")
	if err := key.Write(path, path+".pub"); err != nil {
		t.Fatal(err)
	}
	return path, key
}

func TestSigner(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{"", Ed25519, ECDSAP256} {
		t.Run("key "+kind, func(t *testing.T) {
			grant := Grant{PayloadTypes: []string{attestation.PayloadType}, Signatures: 2}
			want := ""
			if kind != "" {
				path, key := writeKey(t, dir, kind)
				grant.KeyFile, want = path, key.KeyID()
			}
			signer := startSigner(t, grant)
			if want != "" && signer.KeyID() != want {
				t.Errorf("key id %s, want %s", signer.KeyID(), want)
			}
			for _, payload := range [][]byte{[]byte("{}"), bytes.Repeat([]byte("large "), 1<<20)} {
				envelope, err := attestation.Sign(t.Context(), attestation.PayloadType, payload, signer)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := envelope.Verify(signer.Public()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestSignerRefuses(t *testing.T) {
	pae := attestation.PAE(attestation.PayloadType, []byte("{}"))
	tests := map[string]struct {
		message []byte
		want    string
	}{
		"other type":           {attestation.PAE(attestation.PolicyPayloadType, []byte("{}")), "this run signs"},
		"no DSSE":              {[]byte("hello"), "not a DSSE message"},
		"empty":                {nil, "not a DSSE message"},
		"more behind":          {append(bytes.Clone(pae), ' '), "not a DSSE message: payload"},
		"cut":                  {pae[:len(pae)-1], "not a DSSE message: payload"},
		"length with zeros":    {bytes.Replace(pae, []byte("DSSEv1 28"), []byte("DSSEv1 028"), 1), "not a DSSE message: payload type"},
		"length with a sign":   {bytes.Replace(pae, []byte("DSSEv1 28"), []byte("DSSEv1 +28"), 1), "not a DSSE message: payload type"},
		"length too large":     {[]byte("DSSEv1 9999999999999999999 x"), "not a DSSE message: payload type"},
		"length of nothing":    {[]byte("DSSEv1 "), "not a DSSE message: payload type"},
		"type without payload": {[]byte("DSSEv1 2 ab"), "not a DSSE message: payload type"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			signer := startSigner(t, Grant{PayloadTypes: []string{attestation.PayloadType}, Signatures: 2})
			if _, err := signer.Sign(t.Context(), tt.message); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			// A refusal is no end, and is counted.
			if _, err := signer.Sign(t.Context(), pae); err != nil {
				t.Errorf("the next one: %v", err)
			}
			if _, err := signer.Sign(t.Context(), pae); err == nil || !strings.Contains(err.Error(), "all 2 signatures of this run were made") {
				t.Errorf("error %v, want that there are no more signatures", err)
			}
		})
	}
}

// statement is an in-toto statement about the files with these digests.
func statement(predicateType string, digests ...string) []byte {
	var subjects []string
	for _, d := range digests {
		subjects = append(subjects, `{"name":"x","digest":{"sha256":"`+d+`"}}`)
	}
	return []byte(`{"_type":"` + attestation.StatementType + `","subject":[` + strings.Join(subjects, ",") + `],"predicateType":"` + predicateType + `","predicate":{}}`)
}

// TestSignerOfSummaries: one summary for each subject of what was signed, and no
// other statement in its place.
func TestSignerOfSummaries(t *testing.T) {
	collection := func(digests ...string) []byte { return statement(attestation.CollectionType, digests...) }
	summary := func(digests ...string) []byte { return statement(attestation.TypeVerdict, digests...) }
	start := func(t *testing.T, summaries bool) func(payload []byte) error {
		signer := startSigner(t, Grant{PayloadTypes: []string{attestation.PayloadType}, Signatures: 2, Summaries: summaries})
		return func(payload []byte) error {
			_, err := signer.Sign(t.Context(), attestation.PAE(attestation.PayloadType, payload))
			return err
		}
	}
	type step struct {
		payload []byte
		ok      bool
	}
	for name, steps := range map[string][]step{
		"two collections, their summaries": {{collection("a", "b"), true}, {collection("a", "b"), true}, {summary("b"), true}, {summary("a"), true}, {collection("a"), false}},
		"each subject once":                {{collection("a"), true}, {collection("a"), true}, {summary("a"), true}, {summary("a"), false}},
		"of another file":                  {{collection("a"), true}, {collection("a"), true}, {summary("b"), false}},
		"of two files":                     {{collection("a", "b"), true}, {collection("a"), true}, {summary("a", "b"), false}, {summary("a"), true}},
		"before the collection":            {{summary("a"), true}, {collection("a"), true}, {summary("a"), true}, {collection("a"), false}},
		"a summary gives no summaries":     {{summary("a"), true}, {summary("a"), true}, {summary("a"), false}},
		"with another meaning":             {{collection("a"), true}, {collection("a"), true}, {bytes.Replace(summary("a"), []byte(`"predicate":`), []byte(`"subject":[],"predicate":`), 1), false}},
		"with a second digest":             {{collection("a"), true}, {collection("a"), true}, {bytes.Replace(summary("a"), []byte(`{"sha256"`), []byte(`{"sha512":"c","sha256"`), 1), false}},
		"large":                            {{collection("a"), true}, {collection("a"), true}, {bytes.Replace(summary("a"), []byte(`"predicate":{`), append([]byte(`"predicate":{"x":"`), append(bytes.Repeat([]byte("x"), maxSummary), '"')...), 1), false}},
		"subjects after the predicate":     {{[]byte(`{"predicate":{},"subject":[{"digest":{"sha256":"a"}}]}`), true}, {collection("b"), true}, {summary("a"), false}},
	} {
		t.Run(name, func(t *testing.T) {
			sign := start(t, true)
			for i, s := range steps {
				if err := sign(s.payload); (err == nil) != s.ok {
					t.Fatalf("message %d: error %v, want signed: %v", i, err, s.ok)
				}
			}
		})
	}
	t.Run("without the grant", func(t *testing.T) {
		sign := start(t, false)
		for i, want := range []bool{true, true, false} {
			if err := sign([][]byte{collection("a"), summary("a"), summary("a")}[i]); (err == nil) != want {
				t.Errorf("message %d: error %v", i, err)
			}
		}
	})
}

// TestSignerOfBadKey compares with what reading the file here says.
func TestSignerOfBadKey(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"missing": "", "garbage": "hello", "encrypted": "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if content != "" {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			starting, err := Start(grantOne(path))
			if err != nil {
				t.Fatal(err)
			}
			defer starting.Close()
			_, got := starting.Wait()
			_, want := LoadPrivateKey(path, nil)
			if got == nil || got.Error() != want.Error() || errors.Is(got, fs.ErrNotExist) != errors.Is(want, fs.ErrNotExist) {
				t.Errorf("error %v, want %v", got, want)
			}
		})
	}
}

func TestSignerIsInterrupted(t *testing.T) {
	signer := startSigner(t, grantOne(""))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := signer.Sign(ctx, attestation.PAE(attestation.PayloadType, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
	// What a terminal sends to the command is not for the signer.
	for _, s := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		if err := signer.process.command.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := attestation.Sign(t.Context(), attestation.PayloadType, []byte("{}"), signer); err != nil {
		t.Errorf("after signals: %v", err)
	}
	signer.process.Close()
	if _, err := attestation.Sign(t.Context(), attestation.PayloadType, []byte("{}"), signer); err == nil {
		t.Error("a closed signer signs")
	}
}

// supervisor starts a process that has a signer.
func supervisor(t *testing.T, binary, keyFile string, uid int) (*exec.Cmd, int) {
	t.Helper()
	command := exec.Command(binary)
	command.Env = append(os.Environ(), supervisorVariable+"="+keyFile)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != os.Getuid() {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
		command.Dir = "/"
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = command.Process.Kill(), command.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("supervisor: %s", line)
	}
	return command, pid
}

// TestSignerEndsWithSupervisor kills the supervisor, which then closes nothing
// in order.
func TestSignerEndsWithSupervisor(t *testing.T) {
	command, pid := supervisor(t, "/proc/self/exe", ownKey, os.Getuid())
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(text), ") Z ") { // not reaped yet by whoever adopted it
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the signer lives on: %s", text)
		}
	}
}

// TestKeyIsWithSignerOnly looks for the key in the memory of both processes, after
// a signature.
func TestKeyIsWithSignerOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to read the memory of a process that keeps others out")
	}
	path, key := writeKey(t, t.TempDir(), Ed25519)
	private, ok := key.key.(ed25519.PrivateKey)
	if !ok {
		t.Fatalf("the key is a %T", key.key)
	}
	command, signer := supervisor(t, "/proc/self/exe", path, 0)
	if !inMemory(t, signer, private.Seed()) {
		t.Error("the signer has no key: the search finds nothing")
	}
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Split(text, []byte("\n"))[1]
	for name, needle := range map[string][]byte{"key": private.Seed(), "text of the key file": body} {
		if inMemory(t, command.Process.Pid, needle) {
			t.Errorf("the supervisor has the %s", name)
		}
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", signer))
	if err != nil || len(links) == 0 {
		t.Fatalf("descriptors of the signer: %q, %v", links, err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == path {
			t.Errorf("the signer holds the key file open")
		}
	}
}

// inMemory searches what a process can write to.
func inMemory(t *testing.T, pid int, needle []byte) bool {
	t.Helper()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uint64 // vsyscall is in the upper half
		var rights string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(rights, "rw") || to-from > 1<<30 { // reserved, not used
			continue
		}
		content, err := io.ReadAll(io.NewSectionReader(memory, int64(from), int64(to-from)))
		if err == nil && bytes.Contains(content, needle) {
			return true
		}
	}
	return false
}

// TestSignerIsHidden is about the processes of the same user, which an ordinary
// user's debugger could otherwise read.
func TestSignerIsHidden(t *testing.T) {
	const nobody = 65534
	uid := os.Getuid()
	binary := "/proc/self/exe"
	if uid == 0 {
		uid = nobody
		dir, err := os.MkdirTemp("", "signer-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		binary = filepath.Join(dir, "signer.test")
		text, err := os.ReadFile("/proc/self/exe")
		if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(binary, text, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	command, signer := supervisor(t, binary, ownKey, uid)
	owner := func(pid int) uint32 {
		var s unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d/mem", pid), &s); err != nil {
			t.Fatal(err)
		}
		return s.Uid
	}
	// proc(5): the files of a process that is not dumpable belong to root.
	if got := [2]uint32{owner(command.Process.Pid), owner(signer)}; got != [2]uint32{uint32(uid), 0} {
		t.Errorf("the memory files of supervisor and signer belong to %d, want %d and 0", got, uid)
	}
}
