/* Every frame that comes into any interface of this network namespace, to the standard output: u32 length, bytes. */
#include <net/ethernet.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), room = 64 << 20;
  if (fd < 0) { perror("capture"); return 1; }
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  static unsigned char frame[1 << 17];
  fprintf(stderr, "ready\n");
  for (;;) {
    struct sockaddr_ll from; socklen_t size = sizeof from;
    ssize_t got = recvfrom(fd, frame, sizeof frame, 0, (void *)&from, &size);
    if (got < 0) return 1;
    if (from.sll_pkttype == PACKET_OUTGOING) continue;
    uint32_t length = got;
    fwrite(&length, 4, 1, stdout); fwrite(frame, 1, got, stdout); fflush(stdout);
  }
}
