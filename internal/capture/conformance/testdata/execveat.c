// execveat: relative to a directory, and by an open descriptor.
#include "truth.h"

extern char **environ;

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  if (argc == 2) {
    long at = open_truly(dir, O_PATH | O_DIRECTORY, 0);
    say("exec\t0\t%s", in(dir, "execveat"));
    char *args[] = {"first", "again", (char *)dir, 0};
    syscall(SYS_execveat, at, "execveat", args, environ, 0);
    die("execveat");
  }
  if (argc == 3) {
    long fd = open_truly(in(dir, "execveat"), O_PATH, 0);
    say("exec\t0\t%s", in(dir, "execveat"));
    say("event\texecveat\t0\tprogram by descriptor");
    char *args[] = {"second", "again", "again", (char *)dir, 0};
    syscall(SYS_execveat, fd, "", args, environ, AT_EMPTY_PATH);
    die("execveat");
  }
  open_truly(in(dir, "file"), O_RDONLY, 0);
  finish(0);
}
