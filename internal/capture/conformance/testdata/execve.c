// execve of itself, through a symlink; the new image says what it is.
#include "truth.h"

extern char **environ;

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  if (argc == 3) {
    say("image\t%s\t%s\t%s", in(dir, "execve"), "again", argv[0]);
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(7);
  }
  must(symlinkat("execve", AT_FDCWD, in(dir, "again")), "symlink");
  say("symlink\t0\texecve\t%s", in(dir, "again"));
  say("exec\t0\t%s", in(dir, "execve"));
  char *args[] = {in(dir, "again"), "second", (char *)dir, 0};
  syscall(SYS_execve, args[0], args, environ);
  die("execve");
}
