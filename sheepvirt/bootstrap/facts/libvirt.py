"""Facts of libvirt's networks, pools and domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import virsh
from sheepvirt.bootstrap.facts.fact import Fact, Fragment, of_kind

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.fact import Arguments, Sections


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A network, pool or domain of libvirt: its stored and its running definition."""

    xml: str
    active: bool
    persistent: bool
    autostart: bool
    live_xml: str = ""  # empty if it is not running


def _definitions(
    kind: str, arguments: Arguments, info: str, xml: str, live_xml: str = ""
) -> Fact[dict[str, Definition]]:
    """Return the fact of one kind; the last three are virsh's commands about one of them."""
    commands = {kind: info, f"{kind}-xml": xml, f"{kind}-live-xml": live_xml}
    fragments = (
        Fragment(
            name=name,
            shell=f'has virsh && virsh -q -c qemu:///system {command} "$value" 2>/dev/null\n',
            arguments=arguments,
        )
        for name, command in commands.items()
        if command
    )

    def parse(sections: Sections) -> dict[str, Definition]:
        found = {name: _definition(sections, kind, name) for name in of_kind(sections, kind)}
        return {name: one for name, one in found.items() if one}

    return Fact(tuple(fragments), parse)


def _definition(sections: Sections, kind: str, name: str) -> Definition | None:
    info = virsh.info(sections[f"{kind}:{name}"])
    if not info:
        return None
    off = {"shut off", "crashed", "inactive"}
    active = info.get("Active") == "yes" or info.get("State", "shut off") not in off
    return Definition(
        xml=sections.get(f"{kind}-xml:{name}", "").strip(),
        active=active,
        # A pool without its backend has neither key.
        persistent=info.get("Persistent", "yes") == "yes",
        autostart=info.get("Autostart") in {"yes", "enable"},
        live_xml=sections.get(f"{kind}-live-xml:{name}", "").strip() if active else "",
    )


NETWORKS = _definitions(
    "network", lambda query: query.networks, "net-info", "net-dumpxml --inactive"
)
POOLS = _definitions("pool", lambda query: query.pools, "pool-info", "pool-dumpxml --inactive")
DOMAINS = _definitions(
    "domain", lambda query: query.domains, "dominfo", "dumpxml --inactive", live_xml="dumpxml"
)


def _running(sections: Sections) -> dict[str, bool]:
    started = sections.get("autostarted", "").split("\n")
    names = (line.strip() for line in sections.get("running", "").split("\n"))
    return {name: name in started for name in names if name}


RUNNING = Fact(
    (
        Fragment(name="running", shell="has virsh && virsh -q -c qemu:///system list --name\n"),
        Fragment(
            name="autostarted",
            shell="has virsh && virsh -q -c qemu:///system list --all --name --autostart\n",
        ),
    ),
    _running,
)
