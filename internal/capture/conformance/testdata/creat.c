// creat: makes a file, empties one, and one that may not be made.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  const char *names[] = {"made", "other", "frozen/made"};
  for (int i = 0; i < 3; i++)
    opened(syscall(SYS_creat, in(dir, names[i]), 0644), O_CREAT | O_WRONLY | O_TRUNC, in(dir, names[i]));
  finish(0);
}
