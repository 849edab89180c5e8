package capture

import "golang.org/x/sys/unix"

const (
	architecture = "amd64"
	auditArch    = unix.AUDIT_ARCH_X86_64
	// x32Bit marks calls of the x32 ABI, which share the architecture value.
	x32Bit = 0x40000000
)

// legacyCalls are the calls that only older architectures have.
func legacyCalls() []call {
	return []call{
		{unix.SYS_OPEN, "open", nil, (*Supervisor).onOpen},
		{unix.SYS_CREAT, "creat", nil, (*Supervisor).onCreat},
		{unix.SYS_RENAME, "rename", nil, (*Supervisor).onRename},
		{unix.SYS_RENAMEAT, "renameat", nil, (*Supervisor).onRenameat},
		{unix.SYS_UNLINK, "unlink", nil, (*Supervisor).onUnlink},
		{unix.SYS_RMDIR, "rmdir", nil, (*Supervisor).onUnlink},
		{unix.SYS_LINK, "link", nil, (*Supervisor).onLink},
		{unix.SYS_SYMLINK, "symlink", nil, (*Supervisor).onSymlink},
		{unix.SYS_CHMOD, "chmod", nil, (*Supervisor).onChmod},
		{unix.SYS_CHOWN, "chown", nil, (*Supervisor).onChown},
		{unix.SYS_LCHOWN, "lchown", nil, (*Supervisor).onChown},
		{unix.SYS_MKDIR, "mkdir", nil, (*Supervisor).onMkdir},
		{unix.SYS_MKNOD, "mknod", nil, (*Supervisor).onMknod},
		{unix.SYS_FORK, "fork", nil, (*Supervisor).onFork},
		{unix.SYS_VFORK, "vfork", nil, (*Supervisor).onVfork},
		{unix.SYS_DUP2, "dup2", []condition{
			{arg: 1, mask: anyValue, value: 0}, {arg: 1, mask: anyValue, value: 1}, {arg: 1, mask: anyValue, value: 2},
		}, (*Supervisor).onDup},
		{unix.SYS_KEXEC_FILE_LOAD, "kexec_file_load", nil, (*Supervisor).onEvent},
		{unix.SYS_IOPL, "iopl", nil, (*Supervisor).onEvent},
		{unix.SYS_IOPERM, "ioperm", nil, (*Supervisor).onEvent},
	}
}
