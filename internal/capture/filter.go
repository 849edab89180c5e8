package capture

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h); arguments are little-endian
// 64-bit words.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// Filter is the classic BPF program that traps the calls of this architecture's
// table in the way of the backend, every call of a foreign architecture and of the x32 ABI, and lets the
// rest pass. A call without conditions costs two instructions; what passes by
// its number alone is cached by the kernel (5.11 and newer).
func Filter(b Backend) ([]bpf.RawInstruction, error) {
	notify := bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF}
	if b == Ptrace {
		notify.Val = unix.SECCOMP_RET_TRACE
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		notify,
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
	}
	if x32Bit != 0 {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: x32Bit, SkipTrue: 1}, notify)
	}
	table := calls()
	slices.SortFunc(table, func(a, b call) int { return cmp.Compare(a.nr, b.nr) })
	for _, c := range table {
		body := trap(c, notify)
		if len(body) > 255 {
			return nil, fmt.Errorf("filter for %s: %d instructions, limit 255", c.name, len(body))
		}
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: c.nr, SkipFalse: uint8(len(body))})
		program = append(program, body...)
	}
	program = append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble filter: %w", err)
	}
	return raw, nil
}

// trap is the part of the program for one call; it always returns.
func trap(c call, notify bpf.RetConstant) []bpf.Instruction {
	if len(c.when) == 0 {
		return []bpf.Instruction{notify}
	}
	var body []bpf.Instruction
	for _, cond := range c.when {
		body = append(body, test(cond, notify)...)
	}
	return append(body, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
}

// test traps when the condition holds, else falls through.
func test(c condition, notify bpf.RetConstant) []bpf.Instruction {
	low := uint32(offsetArgs + 8*c.arg)
	if c.wide {
		return []bpf.Instruction{
			bpf.LoadAbsolute{Off: low, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 2},
			bpf.LoadAbsolute{Off: low + 4, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
			notify,
		}
	}
	then := []bpf.Instruction{notify}
	if c.and != nil {
		then = test(*c.and, notify)
	}
	compare := bpf.JumpEqual
	if c.not {
		compare = bpf.JumpNotEqual
	}
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: low, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: c.mask},
		bpf.JumpIf{Cond: compare, Val: c.value, SkipFalse: uint8(len(then))},
	}, then...)
}
