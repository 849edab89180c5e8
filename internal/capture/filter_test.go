package capture

import (
	"encoding/binary"
	"math"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// seccompData is struct seccomp_data as the bpf package's machine loads it: that
// machine takes words for big-endian, the kernel's filter for the machine's own.
func seccompData(nr, arch uint32, args [6]uint64) []byte {
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[offsetNumber:], nr)
	binary.BigEndian.PutUint32(data[offsetArch:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offsetArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[offsetArgs+8*i+4:], uint32(a>>32))
	}
	return data
}

// verdict runs the filter over one call.
func verdict(t testing.TB, vm *bpf.VM, nr, arch uint32, args [6]uint64) uint32 {
	t.Helper()
	got, err := vm.Run(seccompData(nr, arch, args))
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

func newVM(t testing.TB) *bpf.VM {
	t.Helper()
	raw, err := Filter(Notify)
	if err != nil {
		t.Fatal(err)
	}
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the filter cannot be disassembled")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// holds says whether a condition is true, in plain words instead of BPF.
func holds(c condition, args [6]uint64) bool {
	if c.wide {
		return args[c.arg] != 0
	}
	ok := (uint32(args[c.arg])&c.mask == c.value) != c.not
	return ok && (c.and == nil || holds(*c.and, args))
}

// The filter traps what the table says, for every number and many arguments.
func TestFilterAgreesWithTable(t *testing.T) {
	vm := newVM(t)
	table := map[uint32]call{}
	for _, c := range calls() {
		if other, twice := table[c.nr]; twice {
			t.Errorf("%s and %s are both number %d", c.name, other.name, c.nr)
		}
		if c.record == nil {
			t.Errorf("%s has no method", c.name)
		}
		table[c.nr] = c
	}
	values := []uint64{
		0, 1, 2, 3, 4, 6, 7, 15, 22, 0x22, 0x100, 1 << 16, 1 << 32, 1<<32 | 7, math.MaxUint32, math.MaxUint64,
		unix.MAP_ANONYMOUS, unix.MAP_ANONYMOUS | unix.MAP_PRIVATE, unix.CLONE_THREAD, unix.CLONE_THREAD | unix.CLONE_VM,
		unix.PR_SET_SECCOMP, unix.PR_SET_MM, unix.PR_SET_VMA, unix.PR_SET_PTRACER,
	}
	for nr := range uint32(700) {
		for _, a := range values {
			for _, b := range values {
				args := [6]uint64{a, b, a, b, a, b}
				c, known := table[nr]
				want := uint32(unix.SECCOMP_RET_ALLOW)
				trapped := known && len(c.when) == 0
				for _, cond := range c.when {
					trapped = trapped || holds(cond, args)
				}
				if trapped {
					want = unix.SECCOMP_RET_USER_NOTIF
				}
				if got := verdict(t, vm, nr, auditArch, args); got != want {
					t.Fatalf("call %d (%s) with %#x, %#x: %#x, want %#x", nr, c.name, a, b, got, want)
				}
			}
		}
	}
}

func TestFilterConditions(t *testing.T) {
	const pass, trap = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_USER_NOTIF
	vm := newVM(t)
	rwx, wx, rx := uint64(unix.PROT_READ|protWX), uint64(protWX), uint64(unix.PROT_READ|unix.PROT_EXEC)
	anonymous, file := uint64(unix.MAP_PRIVATE|unix.MAP_ANONYMOUS), uint64(unix.MAP_PRIVATE)
	for _, c := range []struct {
		name string
		nr   uint32
		args [6]uint64
		want uint32
	}{
		{"sendto with an address", unix.SYS_SENDTO, [6]uint64{4: 0x7fff0000}, trap},
		{"sendto with an address above 4 GiB only", unix.SYS_SENDTO, [6]uint64{4: 1 << 32}, trap},
		{"sendto without", unix.SYS_SENDTO, [6]uint64{3, 1, 1, 0, 0, 16}, pass},
		{"thread", unix.SYS_CLONE, [6]uint64{unix.CLONE_THREAD | unix.CLONE_VM}, trap},
		{"process", unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_VFORK}, trap},
		{"mapping of code", unix.SYS_MMAP, [6]uint64{2: rx, 3: file}, pass},
		{"anonymous code", unix.SYS_MMAP, [6]uint64{2: rx, 3: anonymous}, trap},
		{"writable code", unix.SYS_MMAP, [6]uint64{2: rwx, 3: file}, trap},
		{"writable data", unix.SYS_MMAP, [6]uint64{2: unix.PROT_READ | unix.PROT_WRITE, 3: anonymous}, pass},
		{"mprotect to code", unix.SYS_MPROTECT, [6]uint64{2: rx}, pass},
		{"mprotect to writable code", unix.SYS_MPROTECT, [6]uint64{2: wx}, trap},
		{"dup3 onto 2", unix.SYS_DUP3, [6]uint64{5, 2}, trap},
		{"dup3 onto 3", unix.SYS_DUP3, [6]uint64{5, 3}, pass},
		{"personality asked", unix.SYS_PERSONALITY, [6]uint64{math.MaxUint32}, pass},
		{"personality set", unix.SYS_PERSONALITY, [6]uint64{0x40000}, trap},
		{"prctl name", unix.SYS_PRCTL, [6]uint64{unix.PR_SET_NAME}, trap},
		{"prctl name with a high bit that the kernel ignores", unix.SYS_PRCTL, [6]uint64{1<<32 | unix.PR_SET_NAME}, trap},
		{"prctl of no interest", unix.SYS_PRCTL, [6]uint64{unix.PR_GET_NAME}, pass},
		{"read", unix.SYS_READ, [6]uint64{}, pass},
		{"no such call", 9999, [6]uint64{}, pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := verdict(t, vm, c.nr, auditArch, c.args); got != c.want {
				t.Errorf("%#x, want %#x", got, c.want)
			}
		})
	}
}

// No call of another table gets past, whatever its number.
func TestFilterForeign(t *testing.T) {
	vm := newVM(t)
	for nr := range uint32(600) {
		for _, arch := range []uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_RISCV64, 0, math.MaxUint32} {
			if got := verdict(t, vm, nr, arch, [6]uint64{}); got != unix.SECCOMP_RET_USER_NOTIF {
				t.Fatalf("call %d of architecture %#x: %#x", nr, arch, got)
			}
		}
		if x32Bit == 0 {
			continue
		}
		if got := verdict(t, vm, nr|x32Bit, auditArch, [6]uint64{}); got != unix.SECCOMP_RET_USER_NOTIF {
			t.Fatalf("x32 call %d: %#x", nr, got)
		}
	}
}

// The kernel takes at most BPF_MAXINSNS instructions.
func TestFilterSize(t *testing.T) {
	raw, err := Filter(Notify)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 4096 {
		t.Errorf("%d instructions, limit 4096", len(raw))
	}
}
