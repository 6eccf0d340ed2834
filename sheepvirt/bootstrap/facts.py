"""Gather the facts of a host in one round trip.

The host runs a POSIX shell script from standard input (no Python there), which prints sections.
Pure functions parse them. A section starts with a random boundary, so no text from the host (such
as a domain's title) can be mistaken for the start of a section.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import initscripts, parsers, services, sheepdog
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Datapath, Init
from sheepvirt.model.hosts import BridgeState, ClusterState, Definition, Facts, Script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sheepvirt.ssh.client import Connection

# In this file a step notes the boot during which packages changed.
REBOOT_WANTED = "/var/lib/sheepvirt/reboot-wanted"
# boot_id belongs to the kernel, so the reboot of a container does not change it. The start time of
# PID 1 changes (field 22 of proc(5)'s stat, 20 fields after the command's name). On a machine both
# change.
BOOT = r"""
cat /proc/sys/kernel/random/boot_id
sed 's/^.*) //' /proc/1/stat | cut -d' ' -f20
"""
SCRIPT = (
    r"""
boundary=$1; shift
section() { printf '\n%s %s\n' "$boundary" "$1"; }
has() { command -v "$1" >/dev/null 2>&1; }
libvirt() { virsh -q -c qemu:///system "$@" </dev/null 2>/dev/null; }
section os
if [ -r /etc/os-release ]; then ( . /etc/os-release; printf '%s %s' "$ID" "$VERSION_ID" )
elif [ -r /etc/redhat-release ]; then cat /etc/redhat-release; fi
section init
init=other
if [ -d /run/systemd/system ]; then init=systemd; elif has chkconfig; then init=sysv; fi
printf '%s' $init
if [ $init = sysv ]; then
  runlevel=$(sed -n 'INITDEFAULT' /etc/inittab)
  section runlevel
  printf '%s' "$runlevel"
  section links
  ls "/etc/rc$runlevel.d"
  section starts
  ls -d /etc/rc[0-6].d/S*
  for script in /etc/init.d/*; do
    case $script in *.rpmsave | *.rpmnew | *.rpmorig | *.swp | *~ | *,) continue ;; esac
    section "header:${script##*/}"
    sed -n '/#/{/INIT INFO/p;/chkconfig:/p;/Provides:/p;/-St[ao][rp]t*:/p;}' "$script" 2>/dev/null
    override=/etc/chkconfig.d/${script##*/}
    [ ! -r "$override" ] || { section "override:${script##*/}"; cat "$override"; }
  done
fi
section interfaces
ls /sys/class/net
section network-scripts
[ ! -d /etc/sysconfig/network-scripts ] || printf yes
section boot
BOOT
section language
for f in /etc/locale.conf /etc/sysconfig/i18n /etc/default/locale; do
  [ ! -r $f ] || sed -n 's/^LANG=//p' $f
done
section installer
if has dnf; then printf dnf; elif has yum; then printf yum; fi
section kernel-datapath
[ ! -d /sys/module/openvswitch ] || printf yes
section kernel
uname -r
section kvm-device
[ ! -c /dev/kvm ] || printf yes
section cluster
if has dog; then
  printf 'dog\n'
  timeout 5 dog cluster info </dev/null 2>/dev/null | grep -m 1 '^Cluster status'
  section nodes
  timeout 5 dog node info -r </dev/null 2>/dev/null
  section vdis
  timeout 20 dog vdi list -r </dev/null 2>/dev/null && printf 'listed\n'
fi
section listeners
grep -h 'LISTENING' /proc/net/tcp /proc/net/tcp6 2>/dev/null
section owners
inodes=$(grep -h 'LISTENING' /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '{ print $10 }')
if [ -n "$inodes" ]; then
  ls -l /proc/[0-9]*/fd 2>/dev/null | awk -v wanted="$inodes" '
    BEGIN { split(wanted, list); for (i in list) open["socket:[" list[i] "]"] = list[i] }
    /^\/proc\// { split($0, part, "/"); pid = part[3] }
    $NF in open { print open[$NF], pid }' | sort -u |
    while read -r inode pid; do printf '%s %s %s\n' "$inode" "$pid" "$(cat "/proc/$pid/comm")"; done
fi
section reboot-wanted
[ ! -r REBOOT_WANTED ] || cat REBOOT_WANTED
section packages
if has rpm; then
  rpm -qa --qf '%{NAME}\t%{NAME}-%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}.%{ARCH}\t'\
'%{SHA1HEADER}\t%{SOURCERPM}\n'
fi
section bridges
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
for wanted; do
  value=${wanted#*:}
  section "$wanted"
  case $wanted in
  module:*)
    ( cd "/lib/modules/$(uname -r)" 2>/dev/null || exit
      find kernel extra weak-updates updates -name "$value.ko*" 2>/dev/null
      sed -n "/\/$value\.ko\$/p" modules.builtin 2>/dev/null ) ;;
  provided:*) has rpm && rpm -q --whatprovides --qf 'yes' "$value" 2>/dev/null ;;
  service:*)
    if [ $init = systemd ]; then
      systemctl show -p LoadState -p ActiveState -p UnitFileState "$value.service" "$value.socket"
    elif [ $init = sysv ] && [ -x "/etc/init.d/$value" ]; then
      chkconfig --list "$value" 2>/dev/null
      service "$value" status </dev/null >/dev/null 2>&1
      printf 'status %s\n' $?
    fi ;;
  network:*) has virsh && libvirt net-info "$value" ;;
  network-xml:*) has virsh && libvirt net-dumpxml --inactive "$value" ;;
  pool:*) has virsh && libvirt pool-info "$value" ;;
  pool-xml:*) has virsh && libvirt pool-dumpxml --inactive "$value" ;;
  domain:*) has virsh && libvirt dominfo "$value" ;;
  domain-xml:*) has virsh && libvirt dumpxml --inactive "$value" ;;
  domain-live-xml:*) has virsh && libvirt dumpxml "$value" ;;
  disk:*) [ ! -e "$value" ] || { printf 'there '; cat "$value.from" 2>/dev/null; } ;;
  file:*) [ ! -r "$value" ] || sha256sum <"$value" ;;
  text:*) [ ! -r "$value" ] || cat "$value" ;;
  esac
done
section end
exit 0
""".replace("REBOOT_WANTED", REBOOT_WANTED)
    .replace("INITDEFAULT", services.INITDEFAULT)
    .replace("BOOT\n", BOOT.strip() + "\n")
    .replace("LISTENING", sheepdog.LISTENING)
)


@dataclass(frozen=True, kw_only=True)
class FactQuery:
    """What to look up on a host, in addition to what is always looked up."""

    names: tuple[str, ...] = ()  # does an installed rpm provide them?
    modules: tuple[str, ...] = ()  # of the kernel
    services: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()  # paths; PATH.from says what a disk was made from
    files: tuple[str, ...] = ()  # paths to hash
    texts: tuple[str, ...] = ()  # paths of small files to read

    def words(self) -> list[str]:
        """Return the script's arguments."""
        kinds = (
            (("provided",), self.names),
            (("module",), self.modules),
            (("service",), self.services),
            (("network", "network-xml"), self.networks),
            (("pool", "pool-xml"), self.pools),
            (("domain", "domain-xml", "domain-live-xml"), self.domains),
            (("disk",), self.disks),
            (("file",), self.files),
            (("text",), self.texts),
        )
        return [f"{k}:{v}" for prefixes, values in kinds for v in values for k in prefixes]


def gather(connection: Connection, query: FactQuery) -> Facts:
    """Gather facts in one round trip; change nothing. Raises SshError, BootstrapError."""
    boundary = f"@@{secrets.token_hex(12)}"
    argv = ["sh", "-s", "--", boundary, *query.words()]
    result = connection.run(argv, stdin=SCRIPT.encode())
    found = sections(result.stdout, boundary)
    if "end" not in found:
        raise BootstrapError(
            f"{connection.host.name} did not answer the whole query; its last output:\n"
            f"{(result.stdout + result.stderr)[-400:]}",
            hint="is /bin/sh on the host a POSIX shell? does its login shell print anything?",
        )
    return parse(found)


def sections(text: str, boundary: str) -> dict[str, str]:
    """Split the script's output at its boundaries; return section name to content."""
    found = {}
    for part in ("\n" + text).split(f"\n{boundary} ")[1:]:
        name, _, content = part.partition("\n")
        found[name] = content
    return found


def _init(text: str) -> Init:
    word = text.strip()
    return Init(word) if word in set(Init) else Init.OTHER


def parse(found: Mapping[str, str]) -> Facts:
    """Parse sections; an absent or empty section means that the thing does not exist."""
    rows = [line.split("\t") for line in found.get("packages", "").splitlines()]
    rows = [row for row in rows if len(row) == 4]
    runlevel = found.get("runlevel", "").strip()
    return Facts(
        os=found.get("os", "").strip(),
        init=_init(found.get("init", "")),
        boot="/".join(found.get("boot", "").split()),
        language=_language(found.get("language", "")),
        installer=found.get("installer", "").strip(),
        modules={n: tuple(text.split()) for n, text in _of(found, "module") if text.strip()},
        kernel_datapath=found.get("kernel-datapath", "").strip() == "yes",
        reboot_wanted=found.get("reboot-wanted", "").strip(),
        packages={name: nevra for name, nevra, _, _ in rows},
        headers={name: sha1 for name, _, sha1, _ in rows},
        source_rpms={name: source for name, _, _, source in rows},
        provided=frozenset(n for n, text in _of(found, "provided") if text.startswith("yes")),
        services={
            n: state
            for n, text in _of(found, "service")
            if (state := services.state(text, runlevel))
        },
        runlevel=runlevel,
        scripts=dict(_scripts(found)),
        links=initscripts.links(found.get("links", "").split()),
        starts=initscripts.starts(found.get("starts", "").split()),
        interfaces=frozenset(found.get("interfaces", "").split()),
        network_scripts=found.get("network-scripts", "").strip() == "yes",
        bridges=dict(_bridges(found.get("bridges", "").splitlines())),
        networks=_definitions(found, "network"),
        cluster=_cluster(found),
        pools=_definitions(found, "pool"),
        vdis=parsers.vdis(found.get("vdis", "")),
        domains=_definitions(found, "domain"),
        disks={
            n: text.removeprefix("there ").strip()
            for n, text in _of(found, "disk")
            if text.startswith("there ")
        },
        hashes={n: text.split()[0] for n, text in _of(found, "file") if text.strip()},
        texts={n: text.strip() for n, text in _of(found, "text") if text.strip()},
        kernel=found.get("kernel", "").strip(),
        kvm_device=found.get("kvm-device", "").strip() == "yes",
        listeners=sheepdog.listeners(found.get("listeners", ""), found.get("owners", "")),
    )


def _of(found: Mapping[str, str], kind: str) -> list[tuple[str, str]]:
    start = f"{kind}:"
    return [(n.removeprefix(start), text) for n, text in found.items() if n.startswith(start)]


def _language(text: str) -> str:
    lines = text.split()
    return lines[0].strip("\"'") if lines else ""


def _pairs(text: str, sign: str) -> dict[str, str]:
    pairs = (line.partition(sign) for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs if value}


def _scripts(found: Mapping[str, str]) -> Iterable[tuple[str, Script]]:
    for name, header in _of(found, "header"):
        script = initscripts.read(name, header, found.get(f"override:{name}", ""))
        if script is not None:
            yield name, script


def _bridges(lines: Iterable[str]) -> list[tuple[str, BridgeState]]:
    rows: list[tuple[str, BridgeState]] = []
    for line in lines:
        words: Sequence[str] = line.split()
        if len(words) >= 3:
            name, device, datapath, *ports = words
            # Open vSwitch's default, an empty datapath type, is the kernel's.
            kind = datapath.strip('"') or Datapath.SYSTEM
            rows.append(
                (name, BridgeState(datapath=kind, ports=tuple(ports), device=device == "device"))
            )
    return rows


def _cluster(found: Mapping[str, str]) -> ClusterState | None:
    """Parse `dog cluster info` and `dog node info -r`; None if dog is not installed."""
    there, _, line = found.get("cluster", "").strip().partition("\n")
    if there != "dog":
        return None
    return ClusterState(
        status=parsers.cluster_status(line),
        nodes=parsers.nodes(found.get("nodes", "")),
        listed=found.get("vdis", "").splitlines()[-1:] == ["listed"],
    )


def _definitions(found: Mapping[str, str], kind: str) -> dict[str, Definition]:
    return {n: d for n, _ in _of(found, kind) if (d := _definition(found, kind, n))}


def _definition(found: Mapping[str, str], kind: str, name: str) -> Definition | None:
    """Parse virsh's information and XML of a network, pool or domain; None if it does not exist."""
    info = _pairs(found.get(f"{kind}:{name}", ""), ":")
    if not info:
        return None
    off = {"shut off", "crashed", "inactive"}
    active = info.get("Active") == "yes" or info.get("State", "shut off") not in off
    return Definition(
        xml=found.get(f"{kind}-xml:{name}", "").strip(),
        active=active,
        # A pool without its backend has neither key.
        persistent=info.get("Persistent", "yes") == "yes",
        autostart=info.get("Autostart") in {"yes", "enable"},
        live_xml=found.get(f"{kind}-live-xml:{name}", "").strip() if active else "",
    )
