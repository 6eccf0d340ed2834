"""Facts of libvirt's networks, pools and domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap import virsh
from sheepvirt.bootstrap.facts.fact import Fact, Fragment, of_kind
from sheepvirt.bootstrap.facts.replies import ServiceReply, service_reply
from sheepvirt.core.errors import BrokenXmlError

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.fact import Arguments, Sections

SECONDS = 15  # for libvirtd to answer; one that systemd starts first needs some
# Sets $libvirt (a `Reply`) and $running, the names of the running domains. `ask_libvirt` runs one
# virsh command. A libvirtd that stops answering is asked no more: every later command would wait,
# and what it does not say would look absent. `timeout` of el6's coreutils has no -k.
PRELUDE = rf"""
libvirt=absent running= said=
ask_libvirt() {{
  [ "$libvirt$lost" = answers ] || return 1
  {{ said=$(timeout {SECONDS} virsh -q -c qemu:///system "$@" 2>&1 >&3 </dev/null); }} 3>&1
  code=$?
  case $code:$said in
  0:*) return 0 ;;
  124:*) section libvirt-lost; echo hung; exit 99 ;;
  *ailed\ to\ connect* | *annot\ recv* | *socket\ is\ closed* | *End\ of\ file* | *isconnected*)
    section libvirt-lost; printf 'stopped
%s
' "$said"; exit 99 ;;
  esac
  return $code
}}
if has virsh; then
  running=$(timeout {SECONDS} virsh -q -c qemu:///system list --name </dev/null 2>/dev/null)
  case $? in
  0) libvirt=answers ;;
  124) libvirt=hung ;;
  *) libvirt=stopped; said=$(timeout {SECONDS} virsh -q -c qemu:///system uri 2>&1 </dev/null) ;;
  esac
fi
"""


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
            shell=f'ask_libvirt {command} "$value"\n',
            arguments=arguments,
            prelude=PRELUDE,
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
    texts = {suffix: sections.get(f"{kind}-{suffix}:{name}", "") for suffix in ("xml", "live-xml")}
    require_xml(f"{kind} {name}", texts["xml"])
    active = info.get("Active") == "yes" or info.get("State", "shut off") not in off
    live_xml = texts["live-xml"].strip() if active else ""
    if live_xml:
        require_xml(f"the running {kind} {name}", live_xml)
    return Definition(
        xml=texts["xml"].strip(),
        active=active,
        # A pool without its backend has neither key.
        persistent=info.get("Persistent", "yes") == "yes",
        autostart=info.get("Autostart") in {"yes", "enable"},
        live_xml=live_xml,
    )


def require_xml(what: str, text: str) -> None:
    """Raise BrokenXmlError if ``text`` is no XML: it must not pass for another definition."""
    try:
        ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        start = repr(text.strip()[:60]) if text.strip() else "nothing"
        raise BrokenXmlError(
            f"libvirt's XML of {what} cannot be read: {error}; it starts with {start}",
            hint="run this again if it was being removed just now; else look at it there with "
            "`virsh dumpxml` (net-dumpxml, pool-dumpxml), and repair or remove it",
        ) from error


# Of some networks facts/attached.py prints the running definition.
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
        Fragment(name="running", shell="printf '%s\\n' \"$running\"\n", prelude=PRELUDE),
        Fragment(
            name="autostarted",
            shell="ask_libvirt list --all --name --autostart\n",
            prelude=PRELUDE,
        ),
    ),
    _running,
)


def _reply(sections: Sections) -> ServiceReply:
    return service_reply(sections.get("libvirt-lost") or sections.get("libvirt", ""))


LIBVIRT = Fact(
    (
        Fragment(
            name="libvirt",
            shell='printf \'%s\\n%s\\n\' "$libvirt" "$said"\n',
            prelude=PRELUDE,
        ),
    ),
    _reply,
)
