// A program that calls itself another: the arguments are recorded as given, the
// program is the truth.
#include "truth.h"

extern char **environ;

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  if (argc == 3) {
    say("image\t%s\targv0-lies\t%s", in(dir, "argv0-lies"), argv[0]);
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(0);
  }
  say("exec\t0\t%s", in(dir, "argv0-lies"));
  char *args[] = {"/usr/bin/python3", "again", (char *)dir, 0};
  syscall(SYS_execve, in(dir, "argv0-lies"), args, environ);
  die("execve");
}
