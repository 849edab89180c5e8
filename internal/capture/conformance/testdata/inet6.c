// IPv6, and an IPv4 address in the clothes of one.
#include "truth.h"

static void to(const char *text, int port) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  inet_pton(AF_INET6, text, &a.sin6_addr);
  int s = must(socket(AF_INET6, SOCK_DGRAM, 0), "socket");
  must(syscall(SYS_connect, s, &a, sizeof a), "connect");
  struct sockaddr_in6 peer;
  socklen_t n = sizeof peer;
  must(getpeername(s, (void *)&peer, &n), "getpeername");
  if (memcmp(&peer.sin6_addr, &a.sin6_addr, sizeof a.sin6_addr)) die("peer");
  say("call\tconnect\tAF_INET6\tSOCK_DGRAM\t%s\t%d", text, ntohs(peer.sin6_port));
}

int main(void) {
  to("::1", 9);
  to("::ffff:127.0.0.1", 10);
  finish(0);
}
