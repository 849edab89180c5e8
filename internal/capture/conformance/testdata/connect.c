// connect: TCP to a listener, UDP, and TCP where nobody listens.
#include "truth.h"

int main(void) {
  int port;
  listening(&port);
  struct sockaddr_in a = loopback(port);
  int s = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
  must(syscall(SYS_connect, s, &a, sizeof a), "connect");
  say("call\tconnect\tAF_INET\tSOCK_STREAM\t127.0.0.1\t%d", port);
  a = loopback(9);
  int u = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
  must(syscall(SYS_connect, u, &a, sizeof a), "connect");
  say("call\tconnect\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t9");
  int r = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
  if (syscall(SYS_connect, r, &a, sizeof a) >= 0) die("somebody listens");
  say("call\tconnect\tAF_INET\tSOCK_STREAM\t127.0.0.1\t9");
  finish(0);
}
