// chown, lchown, fchown and fchownat, to oneself and of what is not there.
#include "truth.h"

static void changed(long r, int uid, int gid, const char *path) { say("mode\t%s\t%d:%d\t%s", result(r), uid, gid, path); }

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  int me = getuid();
  long at = open_truly(dir, O_RDONLY | O_DIRECTORY, 0), fd = open_truly(in(dir, "other"), O_RDONLY, 0);
  changed(syscall(SYS_chown, in(dir, "link"), me, -1), me, -1, in(dir, "file"));
  changed(syscall(SYS_lchown, in(dir, "link"), me, -1), me, -1, in(dir, "link"));
  changed(syscall(SYS_fchown, fd, -1, getgid()), -1, getgid(), in(dir, "other"));
  changed(syscall(SYS_fchownat, at, "dir/inner", me, -1, 0), me, -1, in(dir, "dir/inner"));
  changed(syscall(SYS_fchownat, fd, "", me, -1, AT_EMPTY_PATH), me, -1, in(dir, "other"));
  changed(syscall(SYS_chown, in(dir, "none"), me, me), me, me, in(dir, "none"));
  finish(0);
}
