"""Facts of Open vSwitch's bridges."""

from __future__ import annotations

from dataclasses import dataclass

from sheepvirt.bootstrap.facts.fact import fixed_fact
from sheepvirt.model.enums import Datapath


@dataclass(frozen=True, kw_only=True)
class BridgeState:
    """An Open vSwitch bridge. ``device``: the kernel has its interface as well."""

    datapath: str  # as Open vSwitch has it
    ports: tuple[str, ...]
    device: bool


def _bridges(text: str) -> dict[str, BridgeState]:
    found = {}
    for words in map(str.split, text.splitlines()):
        if len(words) >= 3:
            name, device, datapath, *ports = words
            # Open vSwitch's default, an empty datapath type, is the kernel's.
            kind = datapath.strip('"') or Datapath.SYSTEM
            found[name] = BridgeState(datapath=kind, ports=tuple(ports), device=device == "device")
    return found


BRIDGES = fixed_fact(
    "bridges",
    r"""
if has ovs-vsctl; then
  for bridge in $(ovs-vsctl --timeout=5 list-br 2>/dev/null); do
    device=-; [ ! -e "/sys/class/net/$bridge" ] || device=device
    datapath=$(ovs-vsctl --timeout=5 get bridge "$bridge" datapath_type)
    ports=$(ovs-vsctl --timeout=5 list-ports "$bridge")
    printf '%s %s %s' "$bridge" "$device" "${datapath:-\"\"}"
    printf ' %s' $ports
    printf '\n'
  done
fi
""",
    _bridges,
)
