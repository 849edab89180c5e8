// Raw and packet sockets, which need a right that no process inside has.
#include "truth.h"

int main(void) {
  const struct { int family, protocol; const char *name; } sockets[] = {{AF_INET, IPPROTO_ICMP, "AF_INET"}, {AF_INET6, IPPROTO_ICMPV6, "AF_INET6"}, {AF_PACKET, 3, "AF_17"}};
  for (int i = 0; i < 3; i++) {
    if (syscall(SYS_socket, sockets[i].family, SOCK_RAW, sockets[i].protocol) >= 0) die("a raw socket was given");
    say("socket\t%s\tSOCK_RAW\t%d", sockets[i].name, sockets[i].protocol);
  }
  finish(0);
}
