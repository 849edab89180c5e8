// open: reads, writes, creates and truncates by an absolute path.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  const struct { const char *name; long flags; } opens[] = {
    {"file", O_RDONLY | O_CLOEXEC}, {"other", O_WRONLY | O_APPEND}, {"other", O_RDWR}, {"dir", O_RDONLY | O_DIRECTORY},
    {"new", O_RDWR | O_CREAT | O_EXCL}, {"new2", O_WRONLY | O_CREAT | O_TRUNC}, {"dir/inner", O_RDONLY | O_TRUNC},
  };
  for (size_t i = 0; i < sizeof opens / sizeof *opens; i++) {
    const char *path = in(dir, opens[i].name);
    opened(syscall(SYS_open, path, opens[i].flags, 0644), opens[i].flags, path);
  }
  finish(0);
}
