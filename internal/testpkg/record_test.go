package testpkg

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"pip-witness/evidence"
)

// honestRun is the recording of a step in which nothing happened.
func honestRun(roles ...evidence.Role) evidence.CommandRun {
	run := evidence.CommandRun{Coverage: evidence.Coverage{Sandbox: evidence.Sandbox{
		Home:         "/home/user",
		SitePackages: []string{"/home/user/venv/lib/python3.11/site-packages"},
	}}}
	for i, role := range roles {
		run.Processes = append(run.Processes, evidence.Process{
			Program: "/usr/bin/python3", ProcessID: i + 2, ParentPID: min(i, 1) * 2, Role: role,
			OpenedFiles: map[string]evidence.DigestSet{"/etc/passwd": {"sha256": "00"}},
		})
	}
	return run
}

func TestRecordInsertAndFind(t *testing.T) {
	at := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	for _, a := range append(Attacks(), KeyReadAndConnect()) {
		for _, r := range a.WantRecord {
			t.Run(a.Name+"/"+r.String(), func(t *testing.T) {
				run := honestRun(evidence.RoleInstaller, evidence.RoleImportHarness)
				before, err := json.Marshal(run)
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Find(run); !errors.Is(err, ErrNotRecorded) {
					t.Errorf("found in an honest recording: %v", err)
				}
				attacked, err := r.Insert(run, at)
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Find(attacked); err != nil {
					t.Errorf("inserted, and then: %v", err)
				}
				after, err := json.Marshal(run)
				if err != nil {
					t.Fatal(err)
				}
				if string(after) != string(before) {
					t.Errorf("the original was changed:\n%s\n%s", before, after)
				}
			})
		}
	}
}

func TestRecordInsertErrors(t *testing.T) {
	at := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	r := Record{Role: evidence.RoleInstaller, Op: OpWrite, Path: "$SITE/x.pth"}
	if _, err := r.Insert(evidence.CommandRun{}, at); err == nil {
		t.Error("inserted into an empty recording")
	}
	nowhere := honestRun(evidence.RoleInstaller)
	nowhere.Coverage.Sandbox.SitePackages = nil
	if _, err := r.Insert(nowhere, at); err == nil {
		t.Error("inserted into a site directory that is not known")
	}
}

func TestRecordFind(t *testing.T) {
	key := "/home/user/.ssh/id_rsa"
	opened := func(role evidence.Role, errno string, listed bool) evidence.CommandRun {
		run := honestRun(role)
		run.Processes[0].FileOps.Opens = []evidence.Open{{Path: key, Mode: "read", Errno: errno}}
		if listed {
			run.Processes[0].OpenedFiles[key] = evidence.DigestSet{}
			if errno == "" {
				run.Processes[0].OpenedFiles[key] = evidence.DigestSet{"sha256": "00"}
			}
		}
		return run
	}
	want := keyRecord(StepImport, evidence.RoleImportHarness)
	sure := want
	sure.OrMissing = false
	for name, test := range map[string]struct {
		record Record
		run    evidence.CommandRun
		found  bool
	}{
		"read":                   {want, opened(evidence.RoleImportHarness, "", true), true},
		"missing, allowed":       {want, opened(evidence.RoleImportHarness, "ENOENT", true), true},
		"missing, not allowed":   {sure, opened(evidence.RoleImportHarness, "ENOENT", true), false},
		"another errno":          {want, opened(evidence.RoleImportHarness, "EACCES", true), false},
		"by another role":        {want, opened(evidence.RoleInstaller, "", true), false},
		"not among opened files": {want, opened(evidence.RoleImportHarness, "", false), false},
		"recorded nowhere":       {want, honestRun(evidence.RoleImportHarness), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.record.Find(test.run); (err == nil) != test.found {
				t.Errorf("Find: %v, want found=%v", err, test.found)
			}
		})
	}
}
