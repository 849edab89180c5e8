// An address that a second thread flips between two ports while the first one
// connects 20,000 times; the peer of the socket tells which one it was.
#include "truth.h"

enum { times = 20000 };

static struct sockaddr_in a;
static volatile int stop;

static void *flip(void *unused) {
  volatile uint16_t *port = &a.sin_port;
  while (!stop) *port = htons(1111), *port = htons(2222);
  return unused;
}

int main(void) {
  long count[2] = {0};
  int s = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
  a = loopback(1111);
  pthread_t t;
  if (pthread_create(&t, 0, flip, 0) != 0) die("thread");
  for (int i = 0; i < times; i++) {
    struct sockaddr_in peer;
    socklen_t n = sizeof peer;
    must(syscall(SYS_connect, s, &a, sizeof a), "connect");
    must(getpeername(s, (void *)&peer, &n), "getpeername");
    count[ntohs(peer.sin_port) == 2222]++;
  }
  stop = 1;
  pthread_join(t, 0);
  say("count\t%ld\tconnect\t127.0.0.1 1111", count[0]);
  say("count\t%ld\tconnect\t127.0.0.1 2222", count[1]);
  finish(0);
}
