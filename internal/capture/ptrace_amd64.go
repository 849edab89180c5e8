package capture

import "golang.org/x/sys/unix"

// skipCall makes a thread that is stopped before a call return with that result
// and not make it: a number of -1 is no call.
func skipCall(thread int, result int64) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &regs); err != nil {
		return err
	}
	regs.Orig_rax, regs.Rax = ^uint64(0), uint64(result)
	return unix.PtraceSetRegs(thread, &regs)
}
