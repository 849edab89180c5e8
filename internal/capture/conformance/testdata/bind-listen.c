// bind to a port and to none, and listen: the record has the port that the
// kernel chose.
#include "truth.h"

int main(void) {
  int port;
  listening(&port);
  int s = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(4444)};
  must(bind(s, (void *)&a, sizeof a), "bind");
  say("call\tbind\tAF_INET\tSOCK_STREAM\t0.0.0.0\t4444");
  must(listen(s, 1), "listen");
  say("call\tlisten\tAF_INET\tSOCK_STREAM\t0.0.0.0\t4444");
  finish(0);
}
