// sendmsg and sendmmsg, the latter to two addresses.
#include "truth.h"

int main(void) {
  int p, q, to = receiving(&p), also = receiving(&q), s = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
  struct sockaddr_in a = loopback(p), b = loopback(q);
  struct iovec data = {"hello", 5};
  struct mmsghdr m[2] = {
    {.msg_hdr = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &data, .msg_iovlen = 1}},
    {.msg_hdr = {.msg_name = &b, .msg_namelen = sizeof b, .msg_iov = &data, .msg_iovlen = 1}},
  };
  must(syscall(SYS_sendmsg, s, &m[0].msg_hdr, 0), "sendmsg");
  say("call\tsendmsg\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t%d", p);
  receive(to, "hello");
  if (must(syscall(SYS_sendmmsg, s, m, 2, 0), "sendmmsg") != 2 || m[0].msg_len != 5 || m[1].msg_len != 5) die("sendmmsg");
  say("call\tsendmmsg\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t%d", p);
  say("call\tsendmmsg\tAF_INET\tSOCK_DGRAM\t127.0.0.1\t%d", q);
  receive(to, "hello");
  receive(also, "hello");
  finish(0);
}
