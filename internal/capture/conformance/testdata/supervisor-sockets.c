// Sockets that somebody outside listens on: a path, an abstract name, a port of
// loopback.
#include "truth.h"

static void unix_socket(const char *name) {
  struct sockaddr_un a;
  socklen_t n = path_address(&a, name);
  if (syscall(SYS_connect, must(socket(AF_UNIX, SOCK_STREAM, 0), "socket"), &a, n) >= 0) die(name);
  say("call\tconnect\tAF_UNIX\tSOCK_STREAM\t%s\t0", name);
}

int main(int argc, char **argv) { // DIRECTORY ABSTRACT PORT
  (void)argc;
  unix_socket(in(argv[1], "docker.sock"));
  unix_socket(argv[2]);
  struct sockaddr_in a = loopback(atoi(argv[3]));
  if (syscall(SYS_connect, must(socket(AF_INET, SOCK_STREAM, 0), "socket"), &a, sizeof a) >= 0) die("port");
  say("call\tconnect\tAF_INET\tSOCK_STREAM\t127.0.0.1\t%s", argv[3]);
  finish(0);
}
