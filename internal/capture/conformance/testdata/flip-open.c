// A path that a second thread flips between two files while the first one opens
// it 100,000 times. The inode of each descriptor tells which one it was; the
// record must name each file as often as it was opened.
#include "truth.h"

enum { times = 100000 };

static char path[PATH_MAX];
static volatile char *last;
static volatile int stop;

static void *flip(void *unused) {
  while (!stop) *last = 'a', *last = 'b';
  return unused;
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  ino_t inode[2];
  long count[2] = {0};
  snprintf(path, sizeof path, "%s/flip-a", dir);
  last = path + strlen(path) - 1;
  for (int i = 0; i < 2; i++) {
    struct stat s;
    *last = 'a' + i;
    close(opened(syscall(SYS_creat, path, 0644), O_CREAT | O_WRONLY | O_TRUNC, ""));
    must(stat(path, &s), "stat");
    inode[i] = s.st_ino;
  }
  pthread_t t;
  if (pthread_create(&t, 0, flip, 0) != 0) die("thread");
  for (int i = 0; i < times; i++) {
    struct stat s;
    long fd = must(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY), "open");
    must(fstat(fd, &s), "fstat");
    close(fd);
    count[s.st_ino == inode[1]]++;
  }
  stop = 1;
  pthread_join(t, 0);
  say("count\t%ld\topen\t%s/flip-a", count[0], dir);
  say("count\t%ld\topen\t%s/flip-b", count[1], dir);
  finish(0);
}
