// Package omnitrail attests the state of the trail's roots as it was before the
// command of the step ran: each file, directory and symbolic link with digests,
// owner, permissions, size and times. The trails of two steps that follow one
// another say what the first of them changed.
package omnitrail

import (
	"context"
	"time"

	"pip-witness/evidence"
	"pip-witness/internal/attest"
)

// Type is the attestation type URI.
const Type = "https://witness.dev/attestations/omnitrail/v0.1"

// Predicate is the omnitrail/v0.1 predicate. Everything beside Envelope is ours.
type Predicate struct {
	// Phase is when the trail was taken: always "before", the command had not
	// been started.
	Phase string `json:"phase"`
	// Roots are the absolute directories inside the sandbox that were walked, sorted.
	Roots []string `json:"roots"`
	// Unread are the paths whose content or entries could not be read, sorted; a
	// directory that has one below it has digests that do not cover it. Empty
	// when everything was read.
	Unread []evidence.UnreadPath `json:"unread"`
	// Encoded are the paths in which bytes that are not UTF-8 are written as
	// %XX, sorted. Absent when there are none.
	Encoded  []string `json:"encoded,omitempty"`
	Envelope Envelope `json:"Envelope"`
	// Diff is what the command changed; absent when no trail was taken after it.
	Diff *Diff `json:"diff,omitempty"`
}

// Envelope is the trail proper, in omnitrail's form.
type Envelope struct {
	Header Header `json:"header"`
	// Mapping maps absolute paths inside the sandbox to what is there.
	Mapping map[string]Element `json:"mapping"`
}

// Header says what the elements carry.
type Header struct {
	// Features maps "directory", "file", "symlink" and "posix" to the fields that
	// elements of the kind have.
	Features map[string]Feature `json:"features"`
}

// Feature is one entry of [Header].
type Feature struct {
	Algorithms []string `json:"algorithms"`
}

// Element is one entry of the file system.
//
// The digests of a file are over its content; those of a symbolic link over the
// text of its target, which is never followed. Those of a directory are over a
// listing of its entries: for each, sorted by name as bytes, its type, a space,
// its digest of the same algorithm ("-" where it has none), a space, its name
// and a NUL byte. So a directory's digest changes with the content of anything
// below it, and not with modes, owners or times. Gitoids are those of a blob
// with that content. Other types, and what could not be read, have no digests.
type Element struct {
	// Type is "file", "directory", "symlink", "fifo", "socket" or "device".
	Type         string `json:"type"`
	SHA1         string `json:"sha1,omitempty"`
	SHA256       string `json:"sha256,omitempty"`
	GitOIDSHA1   string `json:"gitoid:sha1,omitempty"`
	GitOIDSHA256 string `json:"gitoid:sha256,omitempty"`
	// Target is the text of a symbolic link.
	Target string `json:"target,omitempty"`
	Posix  Posix  `json:"posix"`
}

// Posix is what stat(2) says of an entry. The access time is left out: taking
// the trail changes it.
type Posix struct {
	OwnerUID uint32 `json:"owner_uid"`
	OwnerGID uint32 `json:"owner_gid"`
	// Permissions are as ls(1) writes them: "-rw-r--r--", "drwxr-xr-t".
	Permissions string    `json:"permissions"`
	Size        int64     `json:"size"` // bytes
	CTime       time.Time `json:"ctime"`
	MTime       time.Time `json:"mtime"`
}

// Attestor returns the catalogue entry. Its predicate is a *[Predicate]; the
// error is [attest.ErrNoTree] where the tree before the command is missing.
func Attestor() attest.Attestor {
	return attest.Attestor{Name: "omnitrail", Type: Type, Run: run}
}

func run(ctx context.Context, in *attest.Input) (any, error) {
	if in.Before == nil {
		return nil, attest.ErrNoTree
	}
	out, err := New(ctx, in.Before)
	if err != nil {
		return nil, err
	}
	if in.After != nil {
		out.Diff = NewDiff(in.Before, in.After)
	}
	return out, nil
}

// New builds the predicate of a tree that was taken before a command.
func New(ctx context.Context, tree *evidence.Tree) (*Predicate, error) {
	digests, err := digestsOf(ctx, tree)
	if err != nil {
		return nil, err
	}
	mapping := make(map[string]Element, len(tree.Files))
	for p, s := range tree.Files {
		d := digests[p]
		mapping[p] = Element{
			Type: string(s.Kind), Target: s.Target,
			SHA1: d["sha1"], SHA256: d["sha256"], GitOIDSHA1: d["gitoid:sha1"], GitOIDSHA256: d["gitoid:sha256"],
			Posix: Posix{
				OwnerUID: s.UID, OwnerGID: s.GID, Permissions: permissions(s.Kind, s.Mode), Size: s.Size,
				CTime: s.ChangeTime.UTC(), MTime: s.ModTime.UTC(),
			},
		}
	}
	algorithms := Feature{Algorithms: []string{"gitoid:sha1", "gitoid:sha256", "sha1", "sha256"}}
	return &Predicate{
		Phase: "before",
		Roots: append([]string{}, tree.Roots...), Unread: append([]evidence.UnreadPath{}, tree.Unread...), Encoded: tree.Encoded,
		Envelope: Envelope{
			Header: Header{Features: map[string]Feature{
				"directory": algorithms, "file": algorithms, "symlink": algorithms,
				"posix": {Algorithms: []string{"ctime", "mtime", "owner_gid", "owner_uid", "permissions", "size"}},
			}},
			Mapping: mapping,
		},
	}, nil
}

// permissions writes a mode as ls(1) does, stat(2) & 07777.
func permissions(kind evidence.FileKind, mode uint32) string {
	out := []byte("-rwxrwxrwx")
	switch kind {
	case evidence.KindDirectory:
		out[0] = 'd'
	case evidence.KindSymlink:
		out[0] = 'l'
	case evidence.KindFIFO:
		out[0] = 'p'
	case evidence.KindSocket:
		out[0] = 's'
	case evidence.KindDevice:
		out[0] = '?' // a tree does not tell block from character devices
	}
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			out[i+1] = '-'
		}
	}
	for _, special := range []struct {
		bit       uint32
		at        int
		with, not byte // with and without the execute bit
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		if mode&special.bit == 0 {
			continue
		}
		if out[special.at] == 'x' {
			out[special.at] = special.with
		} else {
			out[special.at] = special.not
		}
	}
	return string(out)
}
