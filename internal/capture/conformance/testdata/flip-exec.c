// A program's path that a second thread flips while the first one runs it, in 100
// children; each new image tells which file it is of.
#include "truth.h"

enum { children = 100 };

extern char **environ;

static char path[PATH_MAX];

static void *flip(void *unused) {
  volatile char *last = path + strlen(path) - 1;
  for (;;) *last = 'a', *last = 'b';
  return unused;
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  char exe[PATH_MAX] = {0};
  if (argc == 3) {
    if (readlink("/proc/self/exe", exe, sizeof exe - 1) < 0) die("readlink");
    say("exec\t0\t%s", exe);
    say("image\t%s\t*\tflipped", exe);
    finish(0);
  }
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/image-%c", dir, 'a' + i);
    say("link\t%s\t%s\t%s", result(syscall(SYS_link, in(dir, "flip-exec"), path)), in(dir, "flip-exec"), path);
  }
  for (int i = 0; i < children; i++) {
    long child = must(syscall(SYS_fork), "fork");
    if (child == 0) {
      pthread_t t;
      char *args[] = {"flipped", "again", (char *)dir, 0};
      if (pthread_create(&t, 0, flip, 0) != 0) die("thread");
      usleep(200);
      syscall(SYS_execve, path, args, environ);
      die("execve");
    }
    say("child\t%ld", child);
    await(child);
  }
  finish(0);
}
