#include <sys/socket.h>
#include <net/if.h>
#include <netinet/in.h>

#ifdef __linux__
# include <linux/if_bridge.h> /* SYSFS_BRIDGE_ATTR  */
#endif

unsigned long virNetDevBridge(const struct in6_addr *address)
{
    return address ? BRCTL_SET_BRIDGE_STP_STATE : 0;
}
