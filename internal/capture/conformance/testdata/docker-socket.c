// The sockets of container engines and of the host's own services.
#include "truth.h"

int main(int argc, char **argv) {
  const char *names[] = {"/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/systemd/private", 0};
  names[3] = in(argv[1], "docker.sock");
  (void)argc;
  for (int i = 0; i < 4; i++) {
    struct sockaddr_un a;
    socklen_t n = path_address(&a, names[i]);
    if (syscall(SYS_connect, must(socket(AF_UNIX, SOCK_STREAM, 0), "socket"), &a, n) >= 0) die(names[i]);
    say("call\tconnect\tAF_UNIX\tSOCK_STREAM\t%s\t0", i ? names[i] : "/run/docker.sock");
  }
  finish(0);
}
