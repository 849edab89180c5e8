package capture

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// skipCall makes a thread that is stopped before a call return with that result
// and not make it: a number of -1 is no call. The number is a register set of its
// own (linux/elf.h, NT_ARM_SYSTEM_CALL).
func skipCall(thread int, result int64) error {
	none := int32(-1)
	number := unix.Iovec{Base: (*byte)(unsafe.Pointer(&none)), Len: 4}
	if errno := ptrace(unix.PTRACE_SETREGSET, thread, unix.NT_ARM_SYSTEM_CALL, uintptr(unsafe.Pointer(&number))); errno != 0 {
		return errno
	}
	var regs unix.PtraceRegs
	all := unix.Iovec{Base: (*byte)(unsafe.Pointer(&regs)), Len: uint64(unsafe.Sizeof(regs))}
	if errno := ptrace(unix.PTRACE_GETREGSET, thread, unix.NT_PRSTATUS, uintptr(unsafe.Pointer(&all))); errno != 0 {
		return errno
	}
	regs.Regs[0] = uint64(result)
	if errno := ptrace(unix.PTRACE_SETREGSET, thread, unix.NT_PRSTATUS, uintptr(unsafe.Pointer(&all))); errno != 0 {
		return errno
	}
	return nil
}
