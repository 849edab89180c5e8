// Threads: one opens, another replaces the whole process by a new image.
#include "truth.h"

extern char **environ;

static const char *dir;

static void *opens(void *unused) {
  open_truly(in(dir, "other"), O_RDONLY, 0);
  return unused;
}

static void *runs(void *unused) {
  char *args[] = {"again", "again", (char *)dir, 0};
  say("exec\t0\t%s", in(dir, "thread-exec"));
  syscall(SYS_execve, in(dir, "thread-exec"), args, environ);
  return unused;
}

int main(int argc, char **argv) {
  dir = argv[argc - 1];
  if (argc == 3) {
    say("image\t%s\tthread-exec\t%s", in(dir, "thread-exec"), argv[0]);
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(7);
  }
  pthread_t t;
  if (pthread_create(&t, 0, opens, 0) != 0) die("thread");
  pthread_join(t, 0);
  if (pthread_create(&t, 0, runs, 0) != 0) die("thread");
  pthread_join(t, 0);
  die("execve by a thread");
}
