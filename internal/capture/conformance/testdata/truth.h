// What the programs of the suite share: they act by raw system calls, so that
// nothing but the behaviour shows, and say what the kernel answered, one line a
// fact: the process id and words, separated by tabs, in a single write.
//
//	open ERRNO MODE INODE PATH     write PATH
//	rename ERRNO OLD NEW           delete ERRNO PATH
//	link ERRNO TARGET PATH         symlink ERRNO TEXT PATH
//	node ERRNO KIND PATH           mode ERRNO MODE PATH
//	exec ERRNO PROGRAM             call NAME FAMILY TYPE ADDRESS PORT
//	socket FAMILY TYPE PROTOCOL    event NAME ERRNO TEXT
//	read HEX PATH                  wrote HEX PATH
//	child PID                      image PROGRAM COMM ARGUMENTS
//	unseen KIND PATH               lost CLASS
//	limit NAME                     count N KIND KEY
//	kernel PATH
//
// In the environment THREAD=1 asks for a second thread, which does nothing.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
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

#define UNUSED __attribute__((unused))

// number is the process id as the kernel has it now, also after a raw clone.
static inline int number(void) { return syscall(SYS_getpid); }

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
  static char line[1 << 17]; // 128 KiB
  int n = snprintf(line, sizeof line, "%d\t", number());
  va_list list;
  va_start(list, format);
  n += vsnprintf(line + n, sizeof line - n - 1, format, list);
  va_end(list);
  line[n++] = '\n';
  if (write(1, line, n) != n) _exit(97);
}

// result is the name of the errno of a raw call, "0" for none.
UNUSED static const char *result(long value) { return value < 0 ? strerrorname_np(errno) : "0"; }

// die ends a program that cannot do what it is there for.
UNUSED static void die(const char *what) {
  dprintf(2, "%s: %s\n", what, strerror(errno));
  _exit(98);
}

UNUSED static long must(long value, const char *what) {
  if (value < 0) die(what);
  return value;
}

static void *sleeper(void *unused) {
  for (;;) pause();
  return unused;
}

// company starts the second thread: the memory of a process that has one can change
// during every call.
__attribute__((constructor)) static void company(void) {
  const char *asked = getenv("THREAD");
  pthread_t t;
  if (asked && *asked == '1' && pthread_create(&t, 0, sleeper, 0) != 0) die("thread");
}

// path_of is what the kernel calls an open descriptor.
UNUSED static char *path_of(long fd) {
  static char path[PATH_MAX + 16];
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%ld", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  path[n < 0 ? 0 : n] = 0;
  return path;
}

// in is a path below a directory.
UNUSED static char *in(const char *dir, const char *name) {
  static char paths[8][PATH_MAX];
  static int turn;
  char *path = paths[turn++ % 8];
  snprintf(path, PATH_MAX, "%s/%s", dir, name);
  return path;
}

// opened states an open that was just made; wanted is the path of one that
// failed, which has no descriptor to ask.
UNUSED static long opened(long fd, long flags, const char *wanted) {
  const char *e = result(fd), *mode = "read";
  struct stat s = {0};
  if (fd >= 0 && fstat(fd, &s) < 0) die("fstat");
  if (flags & O_PATH) mode = "path";
  else if ((flags & O_TMPFILE) == O_TMPFILE) mode = "write";
  else if (flags & O_DIRECTORY || S_ISDIR(s.st_mode) || (fd < 0 && errno == EISDIR)) mode = "directory";
  else if ((flags & O_ACCMODE) == O_WRONLY) mode = "write";
  else if ((flags & O_ACCMODE) == O_RDWR) mode = "readwrite";
  else if (flags & O_TRUNC) mode = "write";
  const char *path = fd < 0 ? wanted : path_of(fd);
  say("open\t%s\t%s\t%lu\t%s", e, mode, (unsigned long)s.st_ino, path);
  if (fd >= 0 && strstr(mode, "write") && (flags & O_TMPFILE) != O_TMPFILE) say("write\t%s", path);
  return fd;
}

// open_truly opens and states it.
UNUSED static long open_truly(const char *path, long flags, const char *wanted) {
  return opened(syscall(SYS_openat, AT_FDCWD, path, flags, 0644), flags, wanted ? wanted : path);
}

UNUSED static const char *hex(const void *data, size_t size) {
  static char text[1 << 14]; // 16 KiB
  if (2 * size >= sizeof text) die("hex");
  for (size_t i = 0; i < size; i++) sprintf(text + 2 * i, "%02x", ((const unsigned char *)data)[i]);
  text[2 * size] = 0;
  return text;
}

// finish states the exit code and ends without anything more.
UNUSED static void finish(int code) {
  say("exit\t%d", code);
  syscall(SYS_exit_group, code);
}

// await waits for a child that must end by itself.
UNUSED static void await(long pid) {
  int status;
  if (waitpid(pid, &status, __WALL) != pid) die("waitpid");
}

// loopback is an address of 127.0.0.1.
UNUSED static struct sockaddr_in loopback(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

// port_of is the local port of a socket.
UNUSED static int port_of(int s) {
  struct sockaddr_in6 a;
  socklen_t n = sizeof a;
  if (getsockname(s, (void *)&a, &n) < 0) die("getsockname");
  return ntohs(a.sin6_port);
}

// listening binds a TCP socket to a free port of 127.0.0.1 and listens.
UNUSED static int listening(int *port) {
  int s = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
  struct sockaddr_in a = loopback(0);
  must(bind(s, (void *)&a, sizeof a), "bind");
  say("call\tbind\tAF_INET\tSOCK_STREAM\t127.0.0.1\t0");
  must(listen(s, 8), "listen");
  *port = port_of(s);
  say("call\tlisten\tAF_INET\tSOCK_STREAM\t127.0.0.1\t%d", *port);
  return s;
}

// receiving binds a UDP socket to a free port of 127.0.0.1.
UNUSED static int receiving(int *port) {
  int s = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
  struct sockaddr_in a = loopback(0);
  must(bind(s, (void *)&a, sizeof a), "bind");
  say("call\tbind\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t0");
  *port = port_of(s);
  return s;
}

// receive fails unless the datagram has arrived.
UNUSED static void receive(int s, const char *want) {
  char buf[64] = {0};
  if (recv(s, buf, sizeof buf - 1, MSG_DONTWAIT) < 0 || strcmp(buf, want)) die("receive");
}

// path_address is a unix address; an abstract one for a name that begins with "@".
UNUSED static socklen_t path_address(struct sockaddr_un *a, const char *name) {
  memset(a, 0, sizeof *a);
  a->sun_family = AF_UNIX;
  if (strlen(name) >= sizeof a->sun_path) die("unix path");
  strcpy(a->sun_path, name);
  if (*name == '@') a->sun_path[0] = 0;
  return offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name != '@');
}
