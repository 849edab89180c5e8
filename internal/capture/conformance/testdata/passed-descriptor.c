// A descriptor that one process opened and another got over a socket: the open
// is recorded, the passing is not.
#include "truth.h"

int main(int argc, char **argv) {
  const char *dir = argv[argc - 1];
  int pair[2], fd;
  char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
  struct iovec data = {&byte, 1};
  struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  long child = must(syscall(SYS_fork), "fork");
  if (child == 0) {
    must(recvmsg(pair[1], &m, 0), "recvmsg");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    char text[8] = {0};
    if (read(fd, text, 7) != 7 || strcmp(text, "content")) die("read");
    say("unseen\topen\t0\tread\t%s", path_of(fd));
    finish(0);
  }
  say("child\t%ld", child);
  fd = open_truly(in(dir, "file"), O_RDONLY, 0);
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  must(syscall(SYS_sendmsg, pair[0], &m, 0), "sendmsg");
  await(child);
  finish(0);
}
