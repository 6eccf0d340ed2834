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
    from sheepvirt.bootstrap.facts.fact import Sections

SECONDS = 15  # for libvirtd to answer; one that systemd starts first needs some
COUNT = 20  # of objects that one virsh asks for within that time
# Sets $libvirt (a `Reply`) and $running, the names of the running domains. `ask_libvirt` runs virsh
# once, for one command or for several in one string. A libvirtd that stops answering is asked no
# more: every later command would wait, and what it does not say would look absent. `timeout` of
# el6's coreutils has no -k.
PRELUDE = rf"""
libvirt=absent running= said=
ask_libvirt() {{
  [ "$libvirt$lost" = answers ] || return 1
  {{ said=$(timeout {SECONDS} virsh -q -c qemu:///system "$@" 2>&1 >&3 </dev/null); }} 3>&1
  code=$?
  case $code:$said in
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


# virsh's commands about one object, by section. All objects are asked for by a few virsh: each one
# takes as long to start and to log in to libvirtd as to answer. virsh goes on after a command that
# fails. Its `echo` starts a section; the last one shows that virsh came to its end. The inventory
# allows no name with a quote.
_OBJECTS = Fragment(
    name="object",
    shell=r"""
objects=0 commands=
ask() { commands="$commands echo '
$boundary $1:$name
'; $2 '$name';"; }
flush() {
  [ $objects -gt 0 ] || return 0
  ask_libvirt "$commands echo '
$boundary libvirt-asked
'" || { code=$?; section libvirt-lost; printf 'stopped\nvirsh ended with %s\n' $code; exit 99; }
  objects=0 commands=
}
[ "$libvirt$lost" = answers ] || exit
for value; do
  name=${value#*:}
  case $value in
  network:*) ask network net-info; ask network-xml 'net-dumpxml --inactive' ;;
  pool:*) ask pool pool-info; ask pool-xml 'pool-dumpxml --inactive' ;;
  domain:*)
    ask domain dominfo; ask domain-xml 'dumpxml --inactive'; ask domain-live-xml dumpxml ;;
  esac
  objects=$((objects + 1))
  [ $objects -lt COUNT ] || flush
done
flush
""".replace("COUNT", str(COUNT)),
    arguments=lambda query: (
        *(f"network:{name}" for name in query.networks),
        *(f"pool:{name}" for name in query.pools),
        *(f"domain:{name}" for name in query.domains),
    ),
    prelude=PRELUDE,
    together=True,
)


def _definitions(kind: str) -> Fact[dict[str, Definition]]:
    """Return the fact of one kind of object."""

    def parse(sections: Sections) -> dict[str, Definition]:
        found = {name: _definition(sections, kind, name) for name in of_kind(sections, kind)}
        return {name: one for name, one in found.items() if one}

    return Fact((_OBJECTS,), parse)


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
NETWORKS = _definitions("network")
POOLS = _definitions("pool")
DOMAINS = _definitions("domain")


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
