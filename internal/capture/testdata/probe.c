// probe makes system calls as its arguments say, and prints what the kernel
// answered: the ground truth for the tests of the recorder. It is linked
// statically, so that a record holds nothing that it did not ask for.
//
//	probe OP ARG… , OP ARG… , …
//
// prints "OP errno-or-0 [what the kernel says]" for each.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char **arg; // arguments of the present operation
static int args;
static int last = -1; // the descriptor opened last

static long number(int i) { return i < args ? strtol(arg[i], NULL, 0) : 0; }

static void answer(long result, const char *more) {
  int e = errno;
  printf("%s %s", arg[0], result < 0 ? strerrorname_np(e) : "0");
  if (more && *more) printf(" %s", more);
  printf("\n");
  fflush(stdout);
}

static char *name_of(int fd) {
  static char name[8192];
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, name, sizeof name - 1);
  name[n < 0 ? 0 : n] = 0;
  return name;
}

static void opened(long fd) {
  answer(fd, fd < 0 ? "" : name_of(fd));
  if (fd >= 0) last = fd;
}

static int directory(const char *s) {
  if (!strcmp(s, ".")) return AT_FDCWD;
  if (!strcmp(s, "last")) return last;
  if (*s >= '0' && *s <= '9') return atoi(s);
  int fd = syscall(SYS_open, s, O_PATH | O_DIRECTORY);
  printf("open %s %s\n", fd < 0 ? strerrorname_np(errno) : "0", fd < 0 ? "" : name_of(fd));
  return fd;
}

// at resolves an address argument: "null", "bad" (not mapped), "edge" (a string
// that ends with its page, the next being unmapped), or the string itself.
static const char *at(const char *s) {
  size_t page = sysconf(_SC_PAGESIZE);
  if (!strcmp(s, "null")) return NULL;
  if (!strcmp(s, "bad")) return (const char *)0x10;
  if (!strncmp(s, "long:", 5)) {
    size_t n = atol(s + 5);
    char *p = malloc(n + 1);
    memset(p, 'a', n);
    p[n] = 0;
    return p;
  }
  if (!strncmp(s, "edge:", 5)) {
    char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p + page, page);
    size_t n = strlen(s + 5) + 1;
    return memcpy(p + page - n, s + 5, n);
  }
  return s;
}

static socklen_t address(struct sockaddr_storage *to, const char *kind, const char *host, int port) {
  memset(to, 0, sizeof *to);
  struct sockaddr_in *in = (void *)to;
  struct sockaddr_in6 *in6 = (void *)to;
  struct sockaddr_un *un = (void *)to;
  struct sockaddr_nl *nl = (void *)to;
  if (!strcmp(kind, "inet") || !strcmp(kind, "unspec")) {
    in->sin_family = *kind == 'i' ? AF_INET : AF_UNSPEC;
    in->sin_port = htons(port);
    inet_pton(AF_INET, host, &in->sin_addr);
    return sizeof *in;
  }
  if (!strcmp(kind, "inet6")) {
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    inet_pton(AF_INET6, host, &in6->sin6_addr);
    return sizeof *in6;
  }
  if (!strcmp(kind, "netlink")) {
    nl->nl_family = AF_NETLINK;
    nl->nl_pid = 0;
    return sizeof *nl;
  }
  un->sun_family = AF_UNIX;
  if (!strcmp(kind, "abstract")) {
    strcpy(un->sun_path + 1, host);
    return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(host);
  }
  strcpy(un->sun_path, host);
  return offsetof(struct sockaddr_un, sun_path) + strlen(host) + 1;
}

static int family(const char *kind) {
  if (!strcmp(kind, "inet") || !strcmp(kind, "unspec")) return AF_INET;
  if (!strcmp(kind, "inet6")) return AF_INET6;
  return !strcmp(kind, "netlink") ? AF_NETLINK : AF_UNIX;
}

static int kept = -1; // a socket that listens

// network OP stream|dgram KIND HOST PORT
static void network(void) {
  struct sockaddr_storage to;
  socklen_t n = address(&to, arg[2], arg[3], number(4));
  int type = !strcmp(arg[1], "stream") ? SOCK_STREAM : !strcmp(arg[1], "raw") ? SOCK_RAW : SOCK_DGRAM;
  int s = socket(family(arg[2]), type, 0);
  if (s < 0) {
    answer(s, "socket");
    return;
  }
  struct iovec data = {"hello", 5};
  struct mmsghdr m[2] = {{{&to, n, &data, 1, 0, 0, 0}, 0}, {{&to, n, &data, 1, 0, 0, 0}, 0}};
  if (!strcmp(arg[0], "connect")) {
    answer(connect(s, (void *)&to, n), "");
  } else if (!strcmp(arg[0], "bind")) {
    answer(bind(s, (void *)&to, n), "");
    kept = s;
    return;
  } else if (!strcmp(arg[0], "sendto")) {
    answer(sendto(s, "hello", 5, 0, (void *)&to, n), "");
  } else if (!strcmp(arg[0], "sendmsg")) {
    answer(sendmsg(s, &m[0].msg_hdr, 0), "");
  } else {
    address(&to, arg[2], arg[3], number(4));
    struct sockaddr_storage other;
    socklen_t k = address(&other, arg[2], arg[3], number(4) + 1);
    m[1].msg_hdr.msg_name = &other;
    m[1].msg_hdr.msg_namelen = k;
    answer(sendmmsg(s, m, 2, 0), "");
  }
  close(s);
}

static void children(const char *how) {
  pid_t pid;
  if (!strcmp(how, "fork")) {
    pid = syscall(SYS_fork);
  } else if (!strcmp(how, "vfork")) {
    pid = vfork();
  } else if (!strcmp(how, "clone3")) {
    struct clone_args c = {.exit_signal = SIGCHLD};
    pid = syscall(SYS_clone3, &c, sizeof c);
  } else {
    pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  }
  if (pid == 0) {
    syscall(SYS_open, arg[1], O_RDONLY);
    if (!strcmp(how, "vfork")) _exit(7);
    syscall(SYS_exit_group, 7);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  char more[64];
  snprintf(more, sizeof more, "%d %d", pid, WEXITSTATUS(status));
  answer(pid, more);
}

static void *open_in_thread(void *path) {
  syscall(SYS_open, path, O_RDONLY);
  return NULL;
}

static volatile int spinning;

static void *spin(void *path) {
  for (;;) {
    close(syscall(SYS_open, path, O_RDONLY));
    spinning = 1;
  }
  return NULL;
}

static void *exec_in_thread(void *unused) {
  execv(arg[1], arg + 1);
  return unused;
}

static long int80(long nr, long a) {
  long result = -1;
#ifdef __x86_64__
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
#endif
  if (result < 0) {
    errno = -result;
    return -1;
  }
  return result;
}

static void run(void) {
  char *op = arg[0];
  const char *p = args > 1 ? at(arg[1]) : "";
  const char *q = args > 2 ? at(arg[2]) : "";
  if (!strcmp(op, "open")) opened(syscall(SYS_open, p, number(2), 0644));
  else if (!strcmp(op, "creat")) opened(syscall(SYS_creat, p, 0644));
  else if (!strcmp(op, "openat")) opened(syscall(SYS_openat, directory(arg[1]), q, number(3), 0644));
  else if (!strcmp(op, "openat2")) {
    struct open_how how = {.flags = number(3), .mode = number(3) & O_CREAT ? 0644 : 0, .resolve = number(4)};
    opened(syscall(SYS_openat2, directory(arg[1]), q, &how, sizeof how));
  }
  else if (!strcmp(op, "handle")) answer(syscall(SYS_open_by_handle_at, AT_FDCWD, "\0\0\0\0\0\0\0\0", O_RDONLY), "");
  else if (!strcmp(op, "chdir")) answer(chdir(p), "");
  else if (!strcmp(op, "write")) { // PATH TEXT: without a record of its own
    int fd = syscall(SYS_open, p, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    answer(write(fd, q, strlen(q)), "");
    close(fd);
  }
  else if (!strcmp(op, "reread")) { // read PATH, then replace what is in it at once
    int fd = syscall(SYS_open, p, O_RDONLY);
    int to = syscall(SYS_open, p, O_WRONLY);
    char c;
    long n = read(fd, &c, 1);
    n = pwrite(to, q, strlen(q), 0) < 0 ? -1 : n;
    answer(n, "");
  }
  else if (!strcmp(op, "unlink")) answer(syscall(SYS_unlink, p), "");
  else if (!strcmp(op, "unlinkat")) answer(syscall(SYS_unlinkat, directory(arg[1]), q, number(3)), "");
  else if (!strcmp(op, "rmdir")) answer(syscall(SYS_rmdir, p), "");
  else if (!strcmp(op, "rename")) answer(syscall(SYS_rename, p, q), "");
  else if (!strcmp(op, "renameat")) answer(syscall(SYS_renameat, directory(arg[1]), q, directory(arg[3]), arg[4]), "");
  else if (!strcmp(op, "renameat2")) answer(syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, q, number(3)), "");
  else if (!strcmp(op, "link")) answer(syscall(SYS_link, p, q), "");
  else if (!strcmp(op, "linkat")) answer(syscall(SYS_linkat, AT_FDCWD, p, AT_FDCWD, q, number(3)), "");
  else if (!strcmp(op, "symlink")) answer(syscall(SYS_symlink, p, q), "");
  else if (!strcmp(op, "symlinkat")) answer(syscall(SYS_symlinkat, p, directory(arg[2]), arg[3]), "");
  else if (!strcmp(op, "mkdir")) answer(syscall(SYS_mkdir, p, 0755), "");
  else if (!strcmp(op, "mkdirat")) answer(syscall(SYS_mkdirat, directory(arg[1]), q, 0755), "");
  else if (!strcmp(op, "mknod")) answer(syscall(SYS_mknod, p, number(2) | 0644, number(3)), "");
  else if (!strcmp(op, "mknodat")) answer(syscall(SYS_mknodat, directory(arg[1]), q, number(3) | 0644, number(4)), "");
  else if (!strcmp(op, "chmod")) answer(syscall(SYS_chmod, p, number(2)), "");
  else if (!strcmp(op, "fchmodat")) answer(syscall(SYS_fchmodat, directory(arg[1]), q, number(3)), "");
  else if (!strcmp(op, "fchmod")) answer(syscall(SYS_fchmod, last, number(1)), "");
  else if (!strcmp(op, "chown")) answer(syscall(SYS_chown, p, number(2), number(3)), "");
  else if (!strcmp(op, "lchown")) answer(syscall(SYS_lchown, p, number(2), number(3)), "");
  else if (!strcmp(op, "fchown")) answer(syscall(SYS_fchown, last, number(1), number(2)), "");
  else if (!strcmp(op, "fchownat")) answer(syscall(SYS_fchownat, directory(arg[1]), q, number(3), number(4), number(5)), "");
  else if (!strcmp(op, "truncate")) answer(syscall(SYS_truncate, p, number(2)), "");
  else if (!strcmp(op, "ftruncate")) answer(ftruncate(last, number(1)), "");
  else if (!strcmp(op, "fork") || !strcmp(op, "vfork") || !strcmp(op, "clone") || !strcmp(op, "clone3")) children(op);
  else if (!strcmp(op, "thread")) {
    pthread_t t;
    answer(-pthread_create(&t, NULL, open_in_thread, arg[1]), "");
    pthread_join(t, NULL);
  }
  else if (!strcmp(op, "spin")) {
    pthread_t t;
    answer(-pthread_create(&t, NULL, spin, arg[1]), "");
    while (!spinning) ;
  }
  else if (!strcmp(op, "daemon")) { // SECONDS PATH: double fork; the grandchild opens PATH after a while
    if (fork() == 0) {
      setsid();
      if (fork() == 0) {
        usleep(number(1) * 1000);
        syscall(SYS_open, arg[2], O_RDONLY);
        syscall(SYS_exit_group, 3);
      }
      syscall(SYS_exit_group, 0);
    }
    wait(NULL);
    answer(0, "");
  }
  else if (!strcmp(op, "killed")) { // a child that a signal ends
    pid_t pid = fork();
    if (pid == 0) {
      syscall(SYS_open, arg[1], O_RDONLY);
      pause();
    }
    usleep(50000);
    int status;
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    char more[64];
    snprintf(more, sizeof more, "%d %d", pid, WTERMSIG(status));
    answer(0, more);
  }
  else if (!strcmp(op, "many")) { // N children that open PATH and are killed
    for (long i = 0; i < number(1); i++) {
      pid_t pid = fork();
      if (pid == 0) {
        syscall(SYS_open, arg[2], O_RDONLY);
        raise(SIGKILL);
      }
      waitpid(pid, NULL, 0);
    }
    answer(0, "");
  }
  else if (!strcmp(op, "bomb")) { // N children that stay
    for (long i = 0; i < number(1); i++)
      if (fork() == 0) pause();
    answer(0, "");
    pause();
  }
  else if (!strcmp(op, "flood")) { // N opens of names of their own
    for (long i = 0; i < number(1); i++) {
      char name[64];
      snprintf(name, sizeof name, "missing-%ld", i);
      syscall(SYS_open, name, O_RDONLY);
    }
    answer(0, "");
  }
  else if (!strcmp(op, "repeat")) { // N opens of one name
    for (long i = 0; i < number(1); i++) close(syscall(SYS_open, arg[2], O_RDONLY));
    answer(0, "");
  }
  else if (!strcmp(op, "nested")) { // a child in a pid namespace of its own
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0) {
      answer(-1, "");
      return;
    }
    pid_t pid = fork();
    if (pid == 0) {
      syscall(SYS_open, arg[1], O_RDONLY);
      syscall(SYS_exit_group, 0);
    }
    waitpid(pid, NULL, 0);
    char more[64];
    snprintf(more, sizeof more, "%d", pid);
    answer(pid, more);
  }
  else if (!strcmp(op, "jail")) { // chroot in a user namespace of its own
    if (unshare(CLONE_NEWUSER) < 0) answer(-1, "");
    else answer(chroot(p) < 0 ? -1 : chdir("/"), "");
  }
  else if (!strcmp(op, "exec")) { execv(p, arg + 1); answer(-1, ""); }
  else if (!strcmp(op, "execas")) { execv(p, arg + 2); answer(-1, ""); }
  else if (!strcmp(op, "execmany")) { // PATH N SIZE: N pointers to one long argument
    char *one = malloc(number(3) + 1);
    memset(one, 'x', number(3));
    one[number(3)] = 0;
    char **v = calloc(number(2) + 2, sizeof *v);
    for (long i = 0; i <= number(2); i++) v[i] = i ? one : arg[1];
    execv(p, v);
    answer(-1, "");
  }
  else if (!strcmp(op, "disguise")) { // writes NAME over its own argv[0], then an exec fails in the kernel
    memset(arg[2], 'z', strlen(arg[2]));
    execv(p, arg + 1);
    answer(-1, "");
  }
  else if (!strcmp(op, "execthread")) {
    pthread_t t;
    pthread_create(&t, NULL, exec_in_thread, NULL);
    pthread_join(t, NULL);
  }
  else if (!strcmp(op, "memfd")) { // runs a copy of PROGRAM from memory, by descriptor or by its name in /proc
    int fd = memfd_create("hidden", 0), from = syscall(SYS_open, arg[2], O_RDONLY);
    char buf[65536], name[64];
    for (ssize_t n; (n = read(from, buf, sizeof buf)) > 0;) if (write(fd, buf, n) != n) return;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (!strcmp(arg[1], "proc")) execv(name, arg + 2);
    else syscall(SYS_execveat, fd, "", arg + 2, environ, AT_EMPTY_PATH);
    answer(-1, "");
  }
  else if (!strcmp(op, "fexec")) { fexecve(last, arg + 1, environ); answer(-1, ""); }
  else if (!strcmp(op, "connect") || !strcmp(op, "bind") || !strncmp(op, "send", 4)) network();
  else if (!strcmp(op, "listen")) answer(listen(kept, 1), "");
  else if (!strcmp(op, "socket")) answer(socket(number(1), number(2), number(3)), "");
  else if (!strcmp(op, "socket0")) { int s = socket(AF_INET, SOCK_STREAM, 0); answer(dup2(s, 0), ""); }
  else if (!strcmp(op, "uring")) { char params[256] = {0}; answer(syscall(SYS_io_uring_setup, 4, params), ""); }
  else if (!strcmp(op, "int80")) answer(int80(number(1), number(2)), "");
  else if (!strcmp(op, "x32")) answer(syscall(0x40000000 | number(1)), "");
  else if (!strcmp(op, "ptrace")) answer(ptrace(PTRACE_TRACEME, 0, 0, 0), "");
  else if (!strcmp(op, "vmread")) {
    char c;
    struct iovec l = {&c, 1}, r = {&last, 1};
    answer(process_vm_readv(number(1) ? number(1) : getpid(), &l, 1, &r, 1, 0), "");
  }
  else if (!strcmp(op, "memfdonly")) answer(memfd_create(p, 0), "");
  else if (!strcmp(op, "name")) answer(prctl(PR_SET_NAME, p), "");
  else if (!strcmp(op, "undumpable")) answer(prctl(PR_SET_DUMPABLE, 0), "");
  else if (!strcmp(op, "mmapwx")) answer((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "");
  else if (!strcmp(op, "unshare")) answer(unshare(number(1)), "");
  else if (!strcmp(op, "setsid")) answer(setsid(), "");
  else if (!strcmp(op, "kill")) answer(kill(number(1), number(2)), "");
  else if (!strcmp(op, "listener")) {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = {1, &allow};
    answer(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog), "");
  }
  else if (!strcmp(op, "sleep")) usleep(number(1) * 1000);
  else if (!strcmp(op, "print")) { for (long i = 0; i < number(1); i++) fputc('o', stdout); fflush(stdout); }
  else if (!strcmp(op, "complain")) { fputs(arg[1], stderr); }
  else if (!strcmp(op, "report")) { // on the results descriptor: send, wait for an answer, print it
    char buf[64] = {0};
    if (write(4, arg[1], strlen(arg[1])) < 0) answer(-1, "");
    answer(read(4, buf, sizeof buf - 1), buf);
  }
  else if (!strcmp(op, "show")) { // the content of a file
    char buf[65536];
    int fd = syscall(SYS_open, p, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf);
    answer(n, "");
    if (n > 0 && write(1, buf, n) < 0) exit(1);
  }
  else if (!strcmp(op, "crash")) raise(number(1));
  else if (!strcmp(op, "exit")) syscall(SYS_exit_group, number(1));
  else {
    fprintf(stderr, "probe: no operation %s\n", op);
    exit(99);
  }
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i += args + 1) {
    arg = argv + i;
    for (args = 0; i + args < argc && strcmp(arg[args], ","); args++) ;
    arg[args] = NULL;
    run();
  }
  syscall(SYS_exit_group, 0);
}
