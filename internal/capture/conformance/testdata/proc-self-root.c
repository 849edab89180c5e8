// Through /proc/self/root and its relatives, from a process and from a thread.
#include "truth.h"

static const char *dir;

static void *work(void *unused) {
  const char *ways[] = {"/proc/self/root", "/proc/thread-self/root", "/proc/./self//root", "/proc/self/task/../root"};
  for (int i = 0; i < 4; i++) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s/file", ways[i], dir);
    open_truly(path, O_RDONLY, 0);
  }
  return unused;
}

int main(int argc, char **argv) {
  dir = argv[argc - 1];
  work(0);
  pthread_t t;
  if (pthread_create(&t, 0, work, 0) != 0) die("thread");
  pthread_join(t, 0);
  must(chdir(dir), "chdir");
  open_truly("/proc/self/cwd/dirlink/inner", O_RDONLY, 0);
  finish(0);
}
