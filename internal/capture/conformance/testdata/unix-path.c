// Unix sockets with a path: bound, listened on, connected by the path, by a
// relative one and through a symlink, and a missing one.
#include "truth.h"

static void to(const char *name, const char *path, int want) {
  struct sockaddr_un a;
  socklen_t n = path_address(&a, name);
  int s = must(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
  if ((syscall(SYS_connect, s, &a, n) < 0 ? errno : 0) != want) die(name);
  say("call\tconnect\tAF_UNIX\tSOCK_STREAM\t%s\t0", path);
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  struct sockaddr_un a;
  must(chdir(dir), "chdir");
  socklen_t n = path_address(&a, in(dir, "s"));
  int s = must(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
  must(bind(s, (void *)&a, n), "bind");
  say("call\tbind\tAF_UNIX\tSOCK_STREAM\t%s\t0", in(dir, "s"));
  must(listen(s, 8), "listen");
  say("call\tlisten\tAF_UNIX\tSOCK_STREAM\t%s\t0", in(dir, "s"));
  must(symlinkat("../s", AT_FDCWD, in(dir, "dir/l")), "symlink");
  say("symlink\t0\t../s\t%s", in(dir, "dir/l"));
  to(in(dir, "s"), in(dir, "s"), 0);
  to("s", in(dir, "s"), 0);
  to("dirlink/l", in(dir, "s"), 0);
  to("none", in(dir, "none"), ENOENT);
  finish(0);
}
