// The file mode mask, which whoever makes a file has to heed: open, creat,
// O_TMPFILE, mkdir, mknod and a unix socket under three masks.
#include "truth.h"

static void holds(const char *path, mode_t want) {
  struct stat s;
  must(stat(path, &s), path);
  if ((s.st_mode & 07777) != want) {
    dprintf(2, "%s has mode %o, want %o\n", path, s.st_mode & 07777, want);
    _exit(98);
  }
}

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  const mode_t masks[] = {0, 027, 0777};
  for (int i = 0; i < 3; i++) {
    char path[PATH_MAX], name[64];
    mode_t mask = masks[i];
    umask(mask);
    snprintf(path, sizeof path, "%s/opened-%o", dir, mask);
    opened(syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY, 0666), O_CREAT | O_WRONLY, path);
    holds(path, 0666 & ~mask);
    snprintf(path, sizeof path, "%s/created-%o", dir, mask);
    opened(syscall(SYS_creat, path, 06755), O_CREAT | O_WRONLY | O_TRUNC, path);
    holds(path, 06755 & ~mask);
    long fd = must(syscall(SYS_openat, AT_FDCWD, dir, O_TMPFILE | O_RDWR, 0666), "O_TMPFILE");
    say("open\t0\twrite\t0\t%s", dir);
    snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
    holds(name, 0666 & ~mask);
    snprintf(path, sizeof path, "%s/directory-%o", dir, mask);
    say("node\t%s\tdirectory\t%s", result(syscall(SYS_mkdir, path, 0777)), path);
    holds(path, 0777 & ~mask);
    snprintf(path, sizeof path, "%s/fifo-%o", dir, mask);
    say("node\t%s\tfifo\t%s", result(syscall(SYS_mknod, path, S_IFIFO | 0666, 0)), path);
    holds(path, 0666 & ~mask);
    snprintf(path, sizeof path, "%s/s-%o", dir, mask);
    struct sockaddr_un a;
    socklen_t n = path_address(&a, path);
    must(bind(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&a, n), "bind");
    say("call\tbind\tAF_UNIX\tSOCK_DGRAM\t%s\t0", path);
    holds(path, 0777 & ~mask);
  }
  finish(0);
}
