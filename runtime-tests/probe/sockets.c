/* Sockets of every family and type, netlink's protocols, and what takes privilege on a socket. */
#include "probe.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { FAMILIES = 46, PROTOCOLS = 23 };

/* A protocol that the family lacks and a family that the kernel lacks are one: nothing there. */
static const char *opened(void) {
    const char *what = outcome();
    static const char *absent[] = {"EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EPROTOTYPE"};
    for (unsigned i = 0; i < 4; i++)
        if (!strcmp(what, absent[i])) return "absent";
    return what;
}

static void one(const char *section, const char *key, int family, int type, int protocol) {
    if (begin()) finish(socket(family, type, protocol));
    line(section, key, "%s", opened());
}

static long bind_port(unsigned short port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? -1 : bind(fd, (void *)&address, sizeof address);
}

/* Sets the flags that the interface has. */
static long set_interface(void) {
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request)) return -1;
    return ioctl(fd, SIOCSIFFLAGS, &request);
}

static long option(int level, int name, int value) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return fd < 0 ? -1 : setsockopt(fd, level, name, &value, sizeof value);
}

static long write_audit(void) {
    struct {
        struct nlmsghdr head;
        char text[8];
    } message = {{sizeof message, 1112 /* AUDIT_TRUSTED_APP */, NLM_F_REQUEST, 1, 0}, "probe"};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
    return fd < 0 ? -1 : send(fd, &message, sizeof message, 0);
}

void probe_sockets(void) {
    static const char *families[FAMILIES] = {
        "unspec", "unix", "inet", "ax25", "ipx", "appletalk", "netrom", "bridge", "atmpvc", "x25",
        "inet6", "rose", "decnet", "netbeui", "security", "key", "netlink", "packet", "ash",
        "econet", "atmsvc", "rds", "sna", "irda", "pppox", "wanpipe", "llc", "ib", "mpls", "can",
        "tipc", "bluetooth", "iucv", "rxrpc", "isdn", "phonet", "ieee802154", "caif", "alg", "nfc",
        "vsock", "kcm", "qipcrtr", "smc", "xdp", "mctp"};
    static const struct {
        int type;
        const char *name;
    } types[] = {{SOCK_STREAM, "stream"}, {SOCK_DGRAM, "dgram"}, {SOCK_RAW, "raw"}, {SOCK_SEQPACKET, "seqpacket"}};
    char key[64];
    for (int family = 0; family < FAMILIES; family++)
        for (int i = 0; i < 4; i++) {
            snprintf(key, sizeof key, "%d-%s-%s", family, families[family], types[i].name);
            one("socket", key, family, types[i].type, 0);
        }
    one("socket", "2-inet-raw-icmp", AF_INET, SOCK_RAW, IPPROTO_ICMP);
    one("socket", "2-inet-ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    one("socket", "2-inet-raw-raw", AF_INET, SOCK_RAW, IPPROTO_RAW);
    one("socket", "10-inet6-raw-icmp", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    one("socket", "17-packet-raw-all", AF_PACKET, SOCK_RAW, htons(3));
    one("socket", "29-can-raw-raw", AF_CAN, SOCK_RAW, 1);
    one("socket", "46-beyond", 46, SOCK_STREAM, 0);
    one("socket", "1000-nonsense", 1000, SOCK_STREAM, 0);
    for (int protocol = 0; protocol < PROTOCOLS; protocol++) {
        snprintf(key, sizeof key, "%d", protocol);
        one("netlink", key, AF_NETLINK, SOCK_RAW, protocol);
    }
    int pair[2];
    TRY("net", "socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    TRY("net", "bind-port-80", bind_port(80));
    TRY("net", "bind-port-8080", bind_port(8080));
    TRY("net", "set-interface-flags", set_interface());
    TRY("net", "SO_MARK", option(SOL_SOCKET, SO_MARK, 1));
    TRY("net", "SO_DEBUG", option(SOL_SOCKET, SO_DEBUG, 1));
    TRY("net", "SO_PRIORITY-7", option(SOL_SOCKET, SO_PRIORITY, 7));
    TRY("net", "SO_RCVBUFFORCE", option(SOL_SOCKET, SO_RCVBUFFORCE, 4096));
    TRY("net", "IP_TRANSPARENT", option(SOL_IP, 19, 1));
    TRY("net", "audit-write", write_audit());
}
