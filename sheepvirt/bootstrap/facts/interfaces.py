"""Facts of the network interfaces."""

from __future__ import annotations

from sheepvirt.bootstrap.facts.fact import fixed_fact, is_yes


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


INTERFACES = fixed_fact("interfaces", "ls /sys/class/net\n", _names)
NETWORK_SCRIPTS = fixed_fact(
    "network-scripts", "[ ! -d /etc/sysconfig/network-scripts ] || printf yes\n", is_yes
)
