// A process that nobody may look into: its arguments are read all the same.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/file", dir);
  say("event\tprctl\t%s\tPR_SET_DUMPABLE", result(prctl(PR_SET_DUMPABLE, 0)));
  long fd = must(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY), "open");
  struct stat s;
  must(fstat(fd, &s), "fstat");
  say("open\t0\tread\t%lu\t%s", (unsigned long)s.st_ino, path);
  long at = must(syscall(SYS_openat, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY), "open");
  must(fstat(at, &s), "fstat");
  say("open\t0\tdirectory\t%lu\t%s", (unsigned long)s.st_ino, dir);
  fd = must(syscall(SYS_openat, at, "other", O_RDONLY), "open");
  must(fstat(fd, &s), "fstat");
  say("open\t0\tread\t%lu\t%s/other", (unsigned long)s.st_ino, dir);
  struct sockaddr_in a = loopback(9);
  must(syscall(SYS_connect, must(socket(AF_INET, SOCK_DGRAM, 0), "socket"), &a, sizeof a), "connect");
  say("call\tconnect\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t9");
  finish(0);
}
