// sendto with an address, which arrives, and without one, which is none.
#include "truth.h"

int main(void) {
  int port, to = receiving(&port), s = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
  struct sockaddr_in a = loopback(port);
  must(syscall(SYS_sendto, s, "one", 3, 0, &a, sizeof a), "sendto");
  say("call\tsendto\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t%d", port);
  receive(to, "one");
  a.sin_family = AF_UNSPEC; // taken for AF_INET
  must(syscall(SYS_sendto, s, "two", 3, 0, &a, sizeof a), "sendto");
  say("call\tsendto\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t%d", port);
  receive(to, "two");
  int pair[2];
  must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), "socketpair");
  must(syscall(SYS_sendto, pair[0], "x", 1, 0, 0, 0), "sendto");
  finish(0);
}
