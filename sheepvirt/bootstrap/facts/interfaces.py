"""Facts of the network interfaces and of el's network files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.fact import Fact, Fragment, fixed_fact, is_yes, of_kind

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.fact import Sections

FILE_BYTES = 32768  # of one network file; a larger one is not read
FILE_COUNT = 400


@dataclass(frozen=True, kw_only=True)
class Device:
    """A network interface of the kernel."""

    mac: str = ""
    master: str = ""  # the bond, team or bridge of the kernel that it is part of
    above: tuple[str, ...] = ()  # interfaces on top of it: VLANs, a bond, a bridge
    kernel_bridge: bool = False
    addresses: tuple[str, ...] = ()  # global ones, with their prefixes


@dataclass(frozen=True, kw_only=True)
class NetworkFile:
    """A file of network-scripts. ``whole``: it was read to its end."""

    text: str
    whole: bool = True


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


INTERFACES = fixed_fact("interfaces", "ls /sys/class/net\n", _names)
NETWORK_SCRIPTS = fixed_fact(
    "network-scripts", "[ ! -d /etc/sysconfig/network-scripts ] || printf yes\n", is_yes
)


def _devices(text: str) -> dict[str, Device]:
    found: dict[str, Device] = {}
    for kind, name, *words in (line.split() for line in text.splitlines() if " " in line):
        plain = name.partition("@")[0].rstrip(":")
        one = found.get(plain, Device())
        if kind == "device":
            found[plain] = replace(one, mac="".join(words[:1]))
        elif kind == "bridge":
            found[plain] = replace(one, kernel_bridge=True)
        elif not words:
            continue  # it went away while it was looked at, as a guest's port does
        elif kind == "master":
            found[plain] = replace(one, master=words[0])
        elif kind == "above" and words[0] not in one.above:
            found[plain] = replace(one, above=(*one.above, words[0]))
        elif kind == "address":
            found[plain] = replace(one, addresses=(*one.addresses, words[0]))
    return found


# upper_* is not in el6's kernel; its /proc/net/vlan and bonds' and bridges' links are.
DEVICES = fixed_fact(
    "devices",
    r"""
for folder in /sys/class/net/*; do
  [ -d "$folder" ] || continue
  name=${folder##*/} mac=
  read -r mac 2>/dev/null <"$folder/address"
  echo "device $name $mac"
  [ ! -d "$folder/bridge" ] || echo "bridge $name"
  for link in "$folder/master" "$folder/brport/bridge"; do
    [ -e "$link" ] || continue
    link=$(readlink -f "$link") && [ -n "$link" ] || continue # it went away meanwhile
    echo "master $name ${link##*/}"
    break
  done
  for link in "$folder"/upper_*; do
    [ ! -e "$link" ] || echo "above $name ${link##*/upper_}"
  done
done
[ ! -r /proc/net/vlan/config ] || sed -n \
  's/^\([^ |]*\) *|[ 0-9]*| *\([^ ]*\)$/above \2 \1/p' /proc/net/vlan/config
! has ip || ip -o addr show scope global 2>/dev/null | sed -n \
  's/^[0-9]*: *\([^ ]*\) *inet6\{0,1\} \([^ ]*\) .*/address \1 \2/p'
""",
    _devices,
)

_FILES = Fragment(
    name="network-files",
    shell=r"""
count=0
for file in /etc/sysconfig/network /etc/sysconfig/network-scripts/*; do
  name=${file##*/}
  case $name in
  network | ifcfg-* | route-* | route6-* | rule-* | rule6-*) [ -f "$file" ] || continue ;;
  *) continue ;;
  esac
  case $name in *[!A-Za-z0-9._:@+\ ~-]*) name=unreadable-name ;; esac
  count=$((count + 1))
  [ $count -le COUNT ] || { section network-file:too-many; printf 0; break; }
  section "network-file:$name"
  size=$(wc -c <"$file" 2>/dev/null)
  if [ "${size:-999999}" -gt BYTES ]; then printf 0; else printf 1; cat "$file"; fi
done
""".replace("COUNT", str(FILE_COUNT)).replace("BYTES", str(FILE_BYTES)),
)


def _files(sections: Sections) -> dict[str, NetworkFile]:
    rows = of_kind(sections, "network-file").items()
    return {name: NetworkFile(text=text[1:], whole=text[:1] == "1") for name, text in rows}


NETWORK_FILES = Fact((_FILES,), _files)
