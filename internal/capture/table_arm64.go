package capture

import "golang.org/x/sys/unix"

const (
	architecture = "arm64"
	auditArch    = unix.AUDIT_ARCH_AARCH64
	// x32Bit is no bit of any call number here.
	x32Bit = 0
)

// legacyCalls are the calls that the generic table has beside the common ones.
func legacyCalls() []call {
	return []call{
		{unix.SYS_RENAMEAT, "renameat", nil, (*Supervisor).onRenameat},
		{unix.SYS_KEXEC_FILE_LOAD, "kexec_file_load", nil, (*Supervisor).onEvent},
	}
}
