// Unix sockets with an abstract name: bound, listened on, connected, sent to.
#include "truth.h"

int main(void) {
  struct sockaddr_un a;
  socklen_t n = path_address(&a, "@conformance");
  int s = must(socket(AF_UNIX, SOCK_STREAM, 0), "socket"), c = must(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
  must(bind(s, (void *)&a, n), "bind");
  say("call\tbind\tAF_UNIX\tSOCK_STREAM\t@conformance\t0");
  must(listen(s, 1), "listen");
  say("call\tlisten\tAF_UNIX\tSOCK_STREAM\t@conformance\t0");
  must(syscall(SYS_connect, c, &a, n), "connect");
  say("call\tconnect\tAF_UNIX\tSOCK_STREAM\t@conformance\t0");
  n = path_address(&a, "@nobody");
  int d = must(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
  if (syscall(SYS_sendto, d, "x", 1, 0, &a, n) >= 0) die("somebody is there");
  say("call\tsendto\tAF_UNIX\tSOCK_DGRAM\t@nobody\t0");
  finish(0);
}
