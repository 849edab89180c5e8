# Tries every way out of the sandbox that the test list names, each in a form
# that does no harm where it succeeds: a file with a comment in it, an open
# without a write, signal 0, an unmount that only marks (MNT_EXPIRE). TARGETS and
# PHASE are set above.
# Each attempt leaves one line: its name and how it ended, "ok" or an errno.
import ctypes
import errno
import os
import platform
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

HERE = os.path.expanduser("~")
MARK = b"# left by a test package of pip-witness\n"
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
AMD64 = platform.machine() == "x86_64"
CALLS = {
    "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219),
    "add_key": (248, 217), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "process_vm_writev": (311, 271), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "kexec_load": (246, 104),
    "fsopen": (430, 430), "open_tree": (428, 428), "move_mount": (429, 429), "mount_setattr": (442, 442),
    "capset": (126, 91), "sethostname": (170, 161), "swapon": (167, 224), "acct": (163, 89),
}
NAMESPACES = {
    "mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000,
    "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "time": 0x00000080,
}
LOG = []


def call(name, *arguments):
    """Makes a system call by its number and raises what it fails with."""
    wide = [a if isinstance(a, (bytes, ctypes.Array)) or a is None else ctypes.c_long(a) for a in arguments]
    result = LIBC.syscall(ctypes.c_long(CALLS[name][0 if AMD64 else 1]), *wide)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def attempt(name, action):
    try:
        action()
        outcome = "ok"
    except OSError as error:
        outcome = errno.errorcode.get(error.errno, "error")
    except Exception as error:
        outcome = type(error).__name__
    LOG.append("%s %s %s" % (PHASE, name, outcome))


def apart(action):
    """Runs action in a child, so that what succeeds changes nothing here."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 0
        try:
            action()
        except OSError as error:
            code = error.errno or 255
        except BaseException:
            code = 255
        os.write(write, bytes([code]))
        os._exit(0)
    os.close(write)
    answer = os.read(read, 1)
    os.close(read)
    os.waitpid(child, 0)
    if not answer:
        raise OSError(errno.ECHILD, "the child was killed")
    if answer[0]:
        raise OSError(answer[0], os.strerror(answer[0]))


def write(path):
    with open(path, "ab") as f:
        f.write(MARK)


def touch(path, flags=os.O_WRONLY):
    """Opens for writing and writes nothing."""
    os.close(os.open(path, flags))


def files():
    for name in ("/etc", "/usr", "/usr/local/bin", "/opt", "/var", "/var/tmp", "/etc/cron.d", "/etc/systemd/system", "/etc/profile.d"):
        attempt("write " + name, lambda: write(name + "/pip-witness-escape"))
    for name in ("/etc/ld.so.preload", "/etc/passwd", "/etc/profile", "/etc/crontab", "/var/spool/cron/crontabs/root"):
        attempt("open " + name, lambda: touch(name, os.O_WRONLY | os.O_APPEND))
    attempt("write $HOME", lambda: write(HERE + "/pip-witness-escape"))
    for name in ["/tmp"] + TARGETS["directories"]:
        attempt("write " + name, lambda: write(name + "/pip-witness-escape"))
    for name in (".profile", ".bashrc", ".config/autostart/escape.desktop", ".config/systemd/user/escape.service", ".ssh/authorized_keys"):
        path = os.path.join(HERE, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        attempt("write ~/" + name, lambda: write(path))
    for name in TARGETS["files"]:
        attempt("overwrite " + name, lambda: touch(name, os.O_WRONLY | os.O_TRUNC))
        attempt("unlink " + name, lambda: os.unlink(name))
        attempt("chmod " + name, lambda: os.chmod(name, 0o4777))
        attempt("rename " + name, lambda: os.rename(name, name + ".escape"))
        attempt("times " + name, lambda: os.utime(name, (1, 1)))
    for name in TARGETS["fifos"] + TARGETS["devices"]:
        attempt("open " + name, lambda: touch(name, os.O_WRONLY | os.O_NONBLOCK))


def namespaces():
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"):
        attempt("open /proc/1/ns/" + kind, lambda: touch("/proc/1/ns/" + kind, os.O_RDONLY))
    for kind, flag in NAMESPACES.items():
        def enter():
            process = call("pidfd_open", 1, 0)
            try:
                call("setns", process, flag)
            finally:
                os.close(process)
        attempt("setns " + kind, lambda: apart(enter))
    attempt("nsenter", lambda: subprocess.run(["nsenter", "-t", "1", "-a", "true"], stderr=subprocess.DEVNULL, check=True))
    for kind, flag in NAMESPACES.items():
        attempt("unshare " + kind, lambda: apart(lambda: call("unshare", flag)))
    attempt("mount tmpfs", lambda: apart(lambda: call("mount", b"none", HERE.encode(), b"tmpfs", 0, b"size=4k")))
    attempt("mount remount", lambda: apart(lambda: call("mount", b"none", b"/etc", None, 0x20 | 0x1000, None)))
    attempt("umount", lambda: apart(lambda: call("umount2", b"/proc", 4)))
    attempt("pivot_root", lambda: apart(lambda: call("pivot_root", b"/", b"/")))
    attempt("chroot", lambda: apart(lambda: os.chroot("/proc/1/root")))
    attempt("fsopen", lambda: os.close(call("fsopen", b"tmpfs", 1)))
    attempt("open_tree", lambda: os.close(call("open_tree", -100, b"/etc", 1)))
    attempt("mount_setattr", lambda: call("mount_setattr", -100, b"/etc", 0, struct.pack("QQQQ", 0, 1, 0, 0), 32))
    attempt("sethostname", lambda: call("sethostname", os.uname().nodename.encode(), len(os.uname().nodename)))


def own_user_namespace(kinds, action):
    """Runs action as root of a user namespace below the sandbox's, with every
    capability that such a root has."""
    def inside():
        user, group = os.getuid(), os.getgid()
        flags = NAMESPACES["user"]
        for kind in kinds:
            flags |= NAMESPACES[kind]
        call("unshare", flags)
        for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % user), ("gid_map", "0 %d 1" % group)):
            try:
                with open("/proc/self/" + name, "w") as f:
                    f.write(text)
            except OSError:
                pass  # a namespace without a map has the capabilities as well
        action()
    apart(inside)


def nested():
    def remount(path, flags):
        return lambda: call("mount", b"none", path, None, flags, None)
    where = os.path.join(HERE, "mounted")
    os.makedirs(where, exist_ok=True)
    target = where.encode()
    for name in ("/etc", "/usr", "/opt", "/var", "/sys", "/proc/sys"):
        attempt("nested remount " + name, lambda: own_user_namespace(["mount"], remount(name.encode(), 0x20 | 0x1000)))
        attempt("nested umount " + name, lambda: own_user_namespace(["mount"], lambda: call("umount2", name.encode(), 4)))
    for kind in ("proc", "sysfs", "cgroup2"):
        attempt("nested mount " + kind, lambda: own_user_namespace(
            ["mount", "net", "cgroup", "ipc", "uts"], lambda: call("mount", b"none", target, kind.encode(), 0, None)))

    def control_group(kind, options, name, text=b""):
        def use():
            call("mount", b"none", target, kind, 0, options)
            descriptor = os.open(os.path.join(where, name), os.O_WRONLY)
            if text:
                os.write(descriptor, text)
            os.close(descriptor)
        return lambda: own_user_namespace(["mount", "cgroup"], use)
    attempt("nested cgroup2 cgroup.procs", control_group(b"cgroup2", None, "cgroup.procs"))
    attempt("nested cgroup2 cgroup.kill", control_group(b"cgroup2", None, "cgroup.kill"))
    for controller in ("memory", "freezer", "devices", "pids", "none,name=systemd"):
        short = controller.rpartition("=")[2]
        for name in ("release_agent", "notify_on_release", "cgroup.procs"):
            attempt("nested cgroup %s %s" % (short, name), control_group(b"cgroup", controller.encode(), name))
    for g in TARGETS["groups"]:
        attempt("nested write %s %s %s" % (g["kind"], g["options"], g["file"]), control_group(
            g["kind"].encode(), g["options"].encode() or None, g["file"], g["text"].encode()))
    attempt("nested mknod", lambda: own_user_namespace(["mount"], lambda: os.mknod(where + "/disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))))
    attempt("nested chroot /proc/1/root", lambda: own_user_namespace(["mount"], lambda: os.chroot("/proc/1/root")))


def kernel():
    for name in ("kernel/core_pattern", "kernel/modprobe", "kernel/sysrq", "kernel/hostname", "vm/drop_caches", "fs/binfmt_misc/register"):
        attempt("open /proc/sys/" + name, lambda: touch("/proc/sys/" + name))
    attempt("open /proc/sysrq-trigger", lambda: touch("/proc/sysrq-trigger"))
    attempt("open /sys/kernel/uevent_helper", lambda: touch("/sys/kernel/uevent_helper"))
    for folder in TARGETS["cgroups"]:
        for name in ("release_agent", "notify_on_release", "cgroup.procs"):
            attempt("open %s/%s" % (folder, name), lambda: touch(os.path.join(folder, name)))
    for name in TARGETS["disks"]:
        attempt("open " + name, lambda: touch(name, os.O_RDWR))
    for name in ("/dev/mem", "/dev/kmsg", "/dev/port", "/dev/fuse", "/dev/net/tun"):
        attempt("open " + name, lambda: touch(name, os.O_RDWR))
    for kind, mode in (("block", stat.S_IFBLK), ("char", stat.S_IFCHR)):
        attempt("mknod " + kind, lambda: os.mknod(os.path.join(HERE, kind), mode | 0o600, os.makedev(7, 250)))
    nothing = ctypes.create_string_buffer(128)
    attempt("init_module", lambda: call("init_module", nothing, 0, nothing))
    attempt("finit_module", lambda: call("finit_module", -1, nothing, 0))
    attempt("delete_module", lambda: call("delete_module", b"pip_witness_no_such_module", 0x800))
    attempt("kexec_load", lambda: call("kexec_load", 0, 0, None, 0xffff))
    attempt("bpf", lambda: os.close(call("bpf", 0, struct.pack("IIIIII", 2, 4, 4, 1, 0, 0) + bytes(104), 128)))
    attempt("perf_event_open", lambda: os.close(call("perf_event_open", struct.pack("IIQQQQ", 1, 112, 0, 0, 0, 0) + bytes(72), -1, 0, -1, 0)))
    attempt("add_key session", lambda: call("add_key", b"user", b"pip-witness-escape", b"x", 1, -3))
    attempt("add_key user", lambda: call("add_key", b"user", b"pip-witness-escape", b"x", 1, -4))

    def read_key():
        serial = call("keyctl", 10, -3, b"user", TARGETS["key"].encode(), 0)
        call("keyctl", 11, serial, nothing, 128)
    attempt("keyctl read", read_key)
    attempt("userfaultfd", lambda: os.close(call("userfaultfd", 0)))
    attempt("io_uring_setup", lambda: os.close(call("io_uring_setup", 4, ctypes.create_string_buffer(120))))
    attempt("swapon", lambda: call("swapon", HERE.encode() + b"/no-swap", 0))
    attempt("acct", lambda: call("acct", HERE.encode() + b"/no-accounting"))
    if AMD64:
        attempt("int 0x80", int80)


def int80():
    """Calls getpid by the table of the 32-bit architecture: mov eax, 20; int 0x80; ret."""
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    page = LIBC.mmap(None, 4096, 7, 0x22, -1, 0)
    ctypes.memmove(page, b"\xb8\x14\x00\x00\x00\xcd\x80\xc3", 8)
    result = ctypes.CFUNCTYPE(ctypes.c_int)(page)()
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def processes():
    for pid in [-1, 1, 2, 3] + TARGETS["pids"]:
        attempt("kill %d" % pid, lambda: os.kill(pid, 0))
    attempt("ptrace 1", lambda: call("ptrace", 0x4206, 1, None, None))
    attempt("open /proc/1/mem", lambda: touch("/proc/1/mem", os.O_RDWR))
    attempt("open /proc/1/root/etc/passwd", lambda: touch("/proc/1/root/etc/passwd"))
    attempt("open /proc/1/environ", lambda: touch("/proc/1/environ", os.O_RDONLY))
    local = ctypes.create_string_buffer(16)
    vector = struct.pack("QQ", ctypes.addressof(local), 1)
    attempt("process_vm_writev 1", lambda: call("process_vm_writev", 1, vector, 1, struct.pack("QQ", 8, 1), 1, 0))

    def steal():
        process = call("pidfd_open", 1, 0)
        try:
            os.close(call("pidfd_getfd", process, 3, 0))
        finally:
            os.close(process)
    attempt("pidfd_getfd 1", steal)

    def handle():
        folder = os.open("/", os.O_RDONLY)
        try:
            os.close(call("open_by_handle_at", folder, struct.pack("IiII", 8, 1, 2, 0), os.O_RDONLY))
        finally:
            os.close(folder)
    attempt("open_by_handle_at", handle)
    for name, action in (
        ("setuid", lambda: os.setuid(0)), ("setgid", lambda: os.setgid(0)), ("setresuid", lambda: os.setresuid(0, 0, 0)),
        ("setgroups", lambda: os.setgroups([0])),
    ):
        attempt(name, lambda: apart(action))
    attempt("capset", lambda: call("capset", struct.pack("II", 0x20080522, 0), struct.pack("IIIIII", 1 << 21, 1 << 21, 0, 0, 0, 0)))
    program = os.path.join(HERE, "setuid-program")
    with open("/bin/true", "rb") as source, open(program, "wb") as copy:
        copy.write(source.read())
    attempt("chmod setuid", lambda: os.chmod(program, 0o6755))
    capability = struct.pack("IIIII", 0x02000001, 1 << 21, 0, 0, 0)
    attempt("setxattr capability", lambda: os.setxattr(program, "security.capability", capability))
    attempt("run setuid", lambda: subprocess.run([program], check=True))


def sockets():
    def connect(family, address, kind=socket.SOCK_STREAM, text=b""):
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.connect(address)
            s.sendall(text)
    attempt("connect abstract", lambda: connect(socket.AF_UNIX, "\0" + TARGETS["abstract"]))
    attempt("connect loopback", lambda: connect(socket.AF_INET, ("127.0.0.1", TARGETS["port"])))
    attempt("connect loopback 6", lambda: connect(socket.AF_INET6, ("::1", TARGETS["port"])))
    attempt("send loopback", lambda: connect(socket.AF_INET, ("127.0.0.1", TARGETS["port"]), socket.SOCK_DGRAM, b"escape"))
    for name in (
        "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
        "/run/crio/crio.sock", "/run/user/$UID/podman/podman.sock", "/run/systemd/private",
        "/run/dbus/system_bus_socket",
    ):
        attempt("connect " + name, lambda: connect(socket.AF_UNIX, name.replace("$UID", str(os.getuid()))))
    for name in TARGETS["sockets"]:
        attempt("connect " + name, lambda: connect(socket.AF_UNIX, name))

    def netfilter():
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
            s.bind((0, 0))
            s.settimeout(2)
            name = b"pip-witness-escape\0\0"
            table = struct.pack("HH", 4 + 19, 1) + name
            body = struct.pack(">BBH", 1, 0, 0) + table
            begin = struct.pack("IHHIIBBBB", 20, 0x10, 1, 1, 0, 0, 0, 0, 10)
            create = struct.pack("IHHII", 16 + len(body), 10 << 8, 0x405, 2, 0) + body
            end = struct.pack("IHHIIBBBB", 20, 0x11, 1, 3, 0, 0, 0, 0, 10)
            s.sendto(begin + create + end, (0, 0))
            code = struct.unpack("i", s.recv(4096)[16:20])[0]
            if code:
                raise OSError(-code, os.strerror(-code))
    attempt("netfilter table", netfilter)
    attempt("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())
    attempt("packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close())
    attempt("vsock", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close())


def tricks():
    """What is left for the attestors and for the clean-up to fall into."""
    top = os.path.join(HERE, "tricks-" + PHASE)
    os.makedirs(top)
    attempt("symlink /etc", lambda: os.symlink("/etc", os.path.join(top, "etc")))
    attempt("symlink ~/x", lambda: os.symlink("/etc", os.path.join(HERE, "x-" + PHASE)))
    for name in TARGETS["directories"]:
        attempt("symlink " + name, lambda: os.symlink(name, os.path.join(top, "to" + name.replace("/", "-"))))
    attempt("symlink loop", lambda: os.symlink("loop", os.path.join(top, "loop")))
    attempt("symlink ..", lambda: os.symlink("../" * 40 + "etc", os.path.join(top, "up")))
    for name in ["/etc/passwd"] + TARGETS["files"]:
        attempt("link " + name, lambda: os.link(name, os.path.join(top, "hard" + name.replace("/", "-"))))
    for name in ("two\nlines", "\x1b[31mred", "ends with space ", "-rf", "*", "$(true)", "%s%n"):
        attempt("name " + repr(name), lambda: write(os.path.join(top, name)))
    attempt("name bytes", lambda: write(os.fsencode(top) + b"/\xff\xfe"))

    # A distribution of which every file is something else.
    info = os.path.join(top, "pip_witness_trick-1.0.dist-info")
    sites = [p for p in sys.path if p.endswith("site-packages") and p.startswith(HERE)]
    if PHASE == "build":
        library = os.path.join(HERE, "venv", "lib")
        sites = [os.path.join(library, d, "site-packages") for d in os.listdir(library)]
    if sites:
        info = os.path.join(sites[0], "pip_witness_trick-1.0.dist-info")
    os.makedirs(info, exist_ok=True)
    # The installer itself reads METADATA after the build, so there it is a file.
    planted = {"METADATA": os.mkfifo, "direct_url.json": os.mkfifo, "entry_points.txt": os.mkfifo}
    if PHASE == "build":
        with open(os.path.join(info, "METADATA"), "w") as f:
            f.write("Metadata-Version: 2.1\nName: pip-witness-trick\nVersion: 1.0\n")
        del planted["METADATA"]
    for name, make in planted.items():
        fresh(info, name)
        attempt("fifo " + name, lambda: make(os.path.join(info, name)))
    for name, target in (("WHEEL", "/etc/shadow"), ("top_level.txt", "/dev/zero"), ("INSTALLER", "/proc/self/mem")):
        fresh(info, name)
        attempt("symlink " + name, lambda: os.symlink(target, os.path.join(info, name)))

    def listen():
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        here = os.open(info, os.O_RDONLY)
        s.bind("/proc/self/fd/%d/RECORD" % here)
        os.close(here)
    fresh(info, "RECORD")
    attempt("socket RECORD", listen)

    closed = os.path.join(top, "closed")
    os.makedirs(os.path.join(closed, "below"))
    write(os.path.join(closed, "below", "file"))
    attempt("chmod 0000 below", lambda: os.chmod(os.path.join(closed, "below"), 0))
    attempt("chmod 0000", lambda: os.chmod(closed, 0))
    attempt("deep", lambda: apart(lambda: deepen(top)))


def fresh(folder, name):
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        os.unlink(path)


def deepen(top):
    os.chdir(top)
    for _ in range(TARGETS["depth"]):
        os.mkdir("deep")
        os.chdir("deep")


def leave_daemons():
    """Two processes that mean to stay: one in a session of its own, one that
    ignores every signal that can be ignored."""
    null = os.open(os.devnull, os.O_RDWR)
    for stubborn in (False, True):
        if os.fork() == 0:
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            os.closerange(3, 64)
            if stubborn:
                for number in range(1, signal.NSIG):
                    try:
                        signal.signal(number, signal.SIG_IGN)
                    except (OSError, ValueError):
                        pass
            end = time.monotonic() + 600
            while time.monotonic() < end:
                time.sleep(1)
            os._exit(0)
    os.wait()
    os.wait()
    os.close(null)


def forge():
    """Writes to the descriptor on which the harness reports."""
    os.write(4, b"ok\0pip_witness_forged\n" + b"\0" * 100 + b"\n" + b"error\n")


def delete_environment():
    for folder in (os.path.join(sys.prefix, "bin"), os.path.dirname(os.path.abspath(__file__))):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
    os.unlink(os.path.join(sys.prefix, "pyvenv.cfg"))


def main():
    files()
    namespaces()
    nested()
    kernel()
    processes()
    sockets()
    tricks()
    attempt("daemons", leave_daemons)
    if PHASE == "build":
        with open(os.path.join("src", TARGETS["module"], "attempts.txt"), "w") as f:
            f.write("\n".join(LOG) + "\n")
        return
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "attempts.txt")) as f:
        sys.stdout.write(f.read())
    attempt("forge", forge)
    attempt("delete environment", delete_environment)
    sys.stdout.write("\n".join(LOG) + "\n")
    sys.stdout.flush()


main()
