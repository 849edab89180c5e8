// A key that lies outside: by its path, through /proc/1/root and through
// /proc/1/cwd.
#include "truth.h"

int main(int argc, char **argv) {
  const char *ways[] = {"", "/proc/1/root", "/proc/1/cwd", "/proc/self/root/.."};
  (void)argc;
  for (int i = 0; i < 4; i++) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s/key.pem", ways[i], argv[1]);
    // A way through its own root leads to the plain path.
    char *wanted = i == 3 ? path + strlen(ways[3]) : path;
    if (open_truly(path, O_RDONLY, wanted) >= 0) die("it can be read");
  }
  finish(0);
}
