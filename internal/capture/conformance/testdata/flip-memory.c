// A path that is flipped while it is opened, by somebody who is no thread of the
// opener. argv[1] says how the flipper gets at the path:
//
//	shared    in a page that both have in common
//	o-path    the same, and it is opened with O_PATH
//	file      in a page of a file, which the flipper writes to
//	written   by process_vm_writev
//	mem       by a descriptor of the opener's /proc/self/mem
//	cloned    as a process that uses the same memory
//	borrowed  as what is left of a child of vfork, by a thread that outlived it
//
// The inode of each descriptor tells which file it was.
#include "truth.h"

enum { times = 5000 };

struct common {
  volatile int stop;
  char path[PATH_MAX]; // in the modes "shared" and "o-path"
};

static struct common *common;
static char own[PATH_MAX] __attribute__((aligned(4096)));
static char *path; // as the opener has it
static long last;  // index of the character that is flipped
static int file = -1;
static int flags = O_RDONLY;

static void openings(const char *dir, const ino_t inode[2]) {
  long count[2] = {0};
  for (int i = 0; i < times; i++) {
    struct stat s;
    long fd = must(syscall(SYS_openat, AT_FDCWD, path, flags), "open");
    must(fstat(fd, &s), "fstat");
    close(fd);
    count[s.st_ino == inode[1]]++;
  }
  say("count\t%ld\topen\t%s/flip-a", count[0], dir);
  say("count\t%ld\topen\t%s/flip-b", count[1], dir);
  common->stop = 1; // from here on the flipper speaks, maybe in the same memory
}

static void flip_memory(void) {
  volatile char *at = path + last;
  while (!common->stop) *at = 'a', *at = 'b';
}

static void flip_file(off_t at) {
  while (!common->stop)
    if (pwrite(file, "a", 1, at) != 1 || pwrite(file, "b", 1, at) != 1) die("pwrite");
}

static void flip_by_call(long opener) {
  char ab[2] = "ab";
  struct iovec here[2] = {{ab, 1}, {ab + 1, 1}}, there = {path + last, 1};
  long r = 0;
  for (int i = 0; !common->stop && r >= 0; i++) r = syscall(SYS_process_vm_writev, opener, here + i % 2, 1, &there, 1, 0);
  say("event\tprocess_vm_writev\t%s\tpid %ld", result(r), opener);
}

static int partner(void *unused) {
  flip_memory();
  finish(0);
  return unused != 0;
}

// borrow leaves a thread behind that uses the caller's memory: the child of vfork
// ends, and with it the caller's wait, before its thread does.
static long borrow(char *stack) {
  long child = vfork();
  if (child == 0) {
    clone(partner, stack, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FS | CLONE_FILES, 0);
    syscall(SYS_exit, 0);
  }
  return must(child, "vfork");
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1], *how = argv[1];
  ino_t inode[2];
  common = mmap(0, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (common == MAP_FAILED) die("mmap");
  if (!strcmp(how, "o-path")) flags = O_PATH;
  path = strcmp(how, "shared") && flags != O_PATH ? own : common->path;
  snprintf(path, PATH_MAX, "%s/flip-a", dir);
  last = strlen(path) - 1;
  for (int i = 0; i < 2; i++) {
    struct stat s;
    path[last] = 'a' + i;
    close(opened(syscall(SYS_creat, path, 0644), O_CREAT | O_WRONLY | O_TRUNC, ""));
    must(stat(path, &s), "stat");
    inode[i] = s.st_ino;
  }
  if (!strcmp(how, "file")) {
    file = open_truly(in(dir, "path"), O_RDWR | O_CREAT, 0);
    if (pwrite(file, path, last + 2, 0) != last + 2) die("pwrite");
    path = mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    if (path == MAP_FAILED) die("mmap");
  }
  if (!strcmp(how, "mem")) file = open_truly("/proc/self/mem", O_RDWR, 0);
  if (!strcmp(how, "borrowed") || !strcmp(how, "cloned")) {
    static char stack[1 << 16] __attribute__((aligned(64))); // 64 KiB
    char *top = stack + sizeof stack;
    long child = *how == 'b' ? borrow(top) : must(clone(partner, top, CLONE_VM | SIGCHLD, 0), "clone");
    openings(dir, inode);
    await(child);
    say("child\t%ld", child);
    finish(0);
  }
  long child = must(syscall(SYS_fork), "fork");
  if (!strcmp(how, "written")) { // downwards, where a process may always write
    if (child == 0) openings(dir, inode);
    else flip_by_call(child);
  } else if (child == 0) {
    if (file < 0) flip_memory();
    else flip_file(!strcmp(how, "file") ? last : (off_t)(uintptr_t)(path + last));
  } else openings(dir, inode);
  if (child != 0) {
    await(child);
    say("child\t%ld", child);
  }
  finish(0);
}
