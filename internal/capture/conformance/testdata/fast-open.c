// TCP fast open: a connection without any connect call, and one whose connect is
// put off until the first write.
#include "truth.h"
#include <netinet/tcp.h>

int main(void) {
  int port;
  listening(&port);
  struct sockaddr_in a = loopback(port);
  int s = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
  must(syscall(SYS_sendto, s, "fast", 4, MSG_FASTOPEN, &a, sizeof a), "sendto");
  say("call\tsendto\tAF_INET\tSOCK_STREAM\t127.0.0.1\t%d", port);
  struct sockaddr_in peer;
  socklen_t n = sizeof peer;
  must(getpeername(s, (void *)&peer, &n), "getpeername");
  int r = must(socket(AF_INET, SOCK_STREAM, 0), "socket"), one = 1;
  must(setsockopt(r, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one), "setsockopt");
  must(syscall(SYS_connect, r, &a, sizeof a), "connect");
  say("call\tconnect\tAF_INET\tSOCK_STREAM\t127.0.0.1\t%d", port);
  if (write(r, "fast", 4) != 4) die("write");
  finish(0);
}
