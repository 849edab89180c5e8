// The search of a program along PATH: attempts that fail are not executions.
#include "truth.h"

extern char **environ;

static void attempt(const char *path, char *const *args) {
  long r = syscall(SYS_execve, path, args, environ);
  say("exec\t%s\t%s", result(r), path);
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  if (argc == 3) {
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(0);
  }
  char *args[] = {"path-search", "again", (char *)dir, 0};
  attempt("/nowhere/path-search", args);
  attempt(in(dir, "dir/path-search"), args);
  attempt(in(dir, "file"), args);
  attempt(in(dir, "dir"), args);
  attempt(in(dir, "file/x"), args);
  attempt(in(dir, "plain"), args); // executable, and no program
  say("exec\t0\t%s", in(dir, "path-search"));
  attempt(in(dir, "path-search"), args);
}
