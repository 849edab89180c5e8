// Netlink: the unusual families by their socket, all by bind and connect.
#include "truth.h"
#include <linux/netlink.h>

int main(void) {
  int s = must(syscall(SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), "socket");
  say("socket\tAF_NETLINK\tSOCK_RAW\t%d", NETLINK_SOCK_DIAG);
  must(syscall(SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), "socket"); // every resolver makes one: no record
  struct sockaddr_nl a = {.nl_family = AF_NETLINK};
  must(bind(s, (void *)&a, sizeof a), "bind");
  say("call\tbind\tAF_NETLINK\tSOCK_RAW\t0\t0");
  must(syscall(SYS_connect, s, &a, sizeof a), "connect");
  say("call\tconnect\tAF_NETLINK\tSOCK_RAW\t0\t0");
  finish(0);
}
