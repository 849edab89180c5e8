// rename, renameat and renameat2, over a file, of a directory, and in vain.
#include "truth.h"

static void moved(long r, const char *from, const char *to) { say("rename\t%s\t%s\t%s", result(r), from, to); }

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  long at = open_truly(in(dir, "dir"), O_RDONLY | O_DIRECTORY, 0);
  moved(syscall(SYS_rename, in(dir, "file"), in(dir, "dir/moved")), in(dir, "file"), in(dir, "dir/moved"));
  moved(syscall(SYS_renameat, at, "moved", AT_FDCWD, in(dir, "back")), in(dir, "dir/moved"), in(dir, "back"));
  moved(syscall(SYS_renameat2, AT_FDCWD, in(dir, "back"), AT_FDCWD, in(dir, "other"), 0), in(dir, "back"), in(dir, "other"));
  moved(syscall(SYS_rename, in(dir, "link"), in(dir, "link2")), in(dir, "link"), in(dir, "link2"));
  moved(syscall(SYS_rename, in(dir, "dir"), in(dir, "dir2")), in(dir, "dir"), in(dir, "dir2"));
  moved(syscall(SYS_rename, in(dir, "none"), in(dir, "x")), in(dir, "none"), in(dir, "x"));
  moved(syscall(SYS_rename, in(dir, "other"), in(dir, "frozen/x")), in(dir, "other"), in(dir, "frozen/x"));
  moved(syscall(SYS_rename, in(dir, "other"), "/dev/shm/x"), in(dir, "other"), "/dev/shm/x");
  say("wrote\t%s\t%s", hex("content", 7), in(dir, "other"));
  finish(0);
}
