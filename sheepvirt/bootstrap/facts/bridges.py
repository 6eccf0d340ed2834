"""Facts of Open vSwitch: whether its database answers, and its bridges."""

from __future__ import annotations

from dataclasses import dataclass

from sheepvirt.bootstrap.facts.fact import Fact, Fragment
from sheepvirt.bootstrap.facts.replies import service_reply
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


_BRIDGES = Fragment(
    name="bridges",
    shell=r"""
has ovs-vsctl || exit
if ! names=$(ovs-vsctl --timeout=5 list-br 2>/dev/null); then
  section switch
  said=$(ovs-vsctl --timeout=5 list-br 2>&1 >/dev/null)
  # Its --timeout is an alarm: 128 and SIGALRM's number.
  case $? in 0) echo stopped ;; 142) echo hung ;; *) printf 'stopped\n%s\n' "$said" ;; esac
  exit
fi
for bridge in $names; do
  device=-; [ ! -e "/sys/class/net/$bridge" ] || device=device
  datapath=$(ovs-vsctl --timeout=5 get bridge "$bridge" datapath_type) || lost=$?
  ports=$(ovs-vsctl --timeout=5 list-ports "$bridge") || lost=$?
  printf '%s %s %s' "$bridge" "$device" "${datapath:-\"\"}"
  printf ' %s' $ports
  printf '\n'
  [ "$lost" != 142 ] || { section switch; echo hung; exit; }
done
section switch
echo answers
""",
)
BRIDGES = Fact((_BRIDGES,), lambda sections: _bridges(sections.get(_BRIDGES.name, "")))
SWITCH = Fact((_BRIDGES,), lambda sections: service_reply(sections.get("switch", "")))
