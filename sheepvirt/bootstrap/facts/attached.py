"""Facts of the running definition of networks, and of the guests that are attached to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.facts.fact import Fact, Fragment, of_kind
from sheepvirt.bootstrap.facts.libvirt import PRELUDE, require_xml

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.fact import Sections

# Forward modes whose guests are attached to something that libvirt did not make, so it stays while
# the network is off (libvirt: networkShutdownNetworkExternal; seen with a bridge of Open vSwitch).
LASTING = frozenset({"bridge", "private", "vepa", "passthrough", "hostdev"})
# libvirt's own network is not asked for: no run changes its definition.
LIVE = Fragment(
    name="network-live-xml",
    shell=r"""
xml=$(ask_libvirt net-dumpxml "$value")
code=$?
printf '%s\n' "$xml"
[ $code = 0 ] || exit $code
printf '%s\n' "$xml" | grep -Eq "<forward [^>]*mode='(MODES)'" && exit 0
section "transient:$value"
ask_libvirt list --name --transient
[ $? != 99 ] || exit 99
printf '%s\n' "$running" | while IFS= read -r name; do
  [ -n "$name" ] || continue
  section "attached-xml:$name"
  ask_libvirt dumpxml "$name"
  [ $? != 99 ] || exit 99
done
""".replace("MODES", "|".join(sorted(LASTING))),
    arguments=lambda query: query.changed_networks,
    prelude=PRELUDE,
)


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A running guest, and what its interfaces are attached to."""

    networks: frozenset[str] = frozenset()
    bridges: frozenset[str] = frozenset()
    persistent: bool = True  # else it is gone once it is off


def _attached(sections: Sections) -> dict[str, Attached]:
    transient = {
        line.strip()
        for text in of_kind(sections, "transient").values()
        for line in text.split("\n")
    }
    found = {}
    for name, text in of_kind(sections, "attached-xml").items():
        if not text.strip():
            continue  # it has ended meanwhile
        require_xml(f"the running domain {name}", text)
        sources = ElementTree.fromstring(text.strip()).findall("devices/interface/source")
        found[name] = Attached(
            networks=frozenset(filter(None, (s.get("network") for s in sources))),
            bridges=frozenset(filter(None, (s.get("bridge") for s in sources))),
            persistent=name not in transient,
        )
    return found


# Running guests; empty where none could lose its connection by a restart of a network.
ATTACHED = Fact((LIVE,), _attached)
