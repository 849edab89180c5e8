// chmod, fchmod, fchmodat and fchmodat2, with set-user-ID and through a symlink.
#include "truth.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static void changed(long r, int mode, const char *path) {
  struct stat s;
  say("mode\t%s\t%04o\t%s", result(r), mode, path);
  if (r == 0 && (stat(path, &s) < 0 || (s.st_mode & 07777) != (mode_t)mode)) die("the mode was not changed");
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long at = open_truly(dir, O_RDONLY | O_DIRECTORY, 0), fd = open_truly(in(dir, "other"), O_RDONLY, 0);
  changed(syscall(SYS_chmod, in(dir, "file"), 04755), 04755, in(dir, "file"));
  changed(syscall(SYS_chmod, in(dir, "link"), 0711), 0711, in(dir, "file"));
  changed(syscall(SYS_fchmod, fd, 02750), 02750, in(dir, "other"));
  changed(syscall(SYS_fchmodat, at, "dir/inner", 0640), 0640, in(dir, "dir/inner"));
  changed(syscall(SYS_fchmodat2, at, "readonly", 0644, 0), 0644, in(dir, "readonly"));
  changed(syscall(SYS_chmod, in(dir, "none"), 0600), 0600, in(dir, "none"));
  finish(0);
}
