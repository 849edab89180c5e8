// A script whose interpreter is this program: the record names the script, and
// the digest of the image is the interpreter's.
#include "truth.h"

extern char **environ;

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  if (argc > 2) { // INTERPRETER, "again", SCRIPT, DIR
    say("image\t%s\t*\t%s", in(dir, "script"), argv[0]);
    open_truly(in(dir, "file"), O_RDONLY, 0);
    finish(0);
  }
  char text[PATH_MAX];
  int n = snprintf(text, sizeof text, "#!%s/shebang again\n", dir);
  long fd = opened(syscall(SYS_open, in(dir, "script"), O_WRONLY | O_CREAT, 0755), O_WRONLY, "");
  if (write(fd, text, n) != n) die("write");
  close(fd);
  say("exec\t0\t%s", in(dir, "script"));
  char *args[] = {in(dir, "script"), (char *)dir, 0};
  syscall(SYS_execve, args[0], args, environ);
  die("execve");
}
