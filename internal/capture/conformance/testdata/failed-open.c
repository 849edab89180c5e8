// Opens that fail: missing, forbidden, not a directory, a watched credential.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  const struct { const char *name; long flags; } opens[] = {
    {"nothing", O_RDONLY}, {"no/such/file", O_RDONLY}, {"id_rsa", O_RDONLY}, {"secret", O_RDONLY}, {"file/x", O_RDONLY},
    {"readonly", O_WRONLY}, {"readonly", O_RDWR}, {"readonly", O_RDONLY | O_TRUNC}, {"dir", O_WRONLY}, {"file", O_WRONLY | O_CREAT | O_EXCL},
    {"frozen/new", O_WRONLY | O_CREAT}, {"file", O_RDONLY | O_DIRECTORY}, {"socket", O_RDONLY},
  };
  for (size_t i = 0; i < sizeof opens / sizeof *opens; i++) open_truly(in(dir, opens[i].name), opens[i].flags, 0);
  open_truly("", O_RDONLY, "");
  finish(0);
}
