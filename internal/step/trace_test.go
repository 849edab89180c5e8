package step

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"pip-witness/internal/capture"
	"pip-witness/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

func TestQuick(t *testing.T) {
	d := capture.NewDigests()
	defer d.Close()
	for _, ns := range []bool{false, true} {
		root := t.TempDir()
		home := t.TempDir()
		spec := sandbox.Spec{Namespaces: ns, RootDir: root, Hostname: "localhost", Binds: []sandbox.Bind{{Source: home, Target: "/root", Writable: true}}}
		start := time.Now()
		rec, err := Trace{Spec: spec, Digests: d, Timeout: time.Minute, Commands: func(g string) ([]Command, error) {
			return []Command{{Command: sandbox.Command{Args: []string{"/usr/bin/python3", "-c", "import os,subprocess,socket; subprocess.run(['/bin/true']); open('/tmp/x','w').write('hi') if 0 else None; print(os.getpid(), os.listdir('/'))"}, Env: []string{"PATH=/usr/bin:/bin", "HOME=/root"}, Dir: "/"}}}, nil
		}}.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		t.Log(time.Since(start))
		b, _ := json.MarshalIndent(rec, "", " ")
		t.Log(len(b), rec.Command.Stdout, rec.Command.Stderr, rec.Command.ExitCode)
		os.WriteFile("/tmp/rec.json", b, 0o644)
	}
}
