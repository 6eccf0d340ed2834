"""Keep what a run changes or replaces, before it does.

Each run has one folder, KEPT/TIME, made when the first thing is kept: definitions of libvirt (with
their passwords, so nobody but root may read them), files, what Open vSwitch has of a bridge, and
sheepvirt's notes about all these. ``invoke restore HOST TIME`` puts them back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import marks
from sheepvirt.bootstrap.marks import Mark
from sheepvirt.model.enums import ObjectKind, Origin

if TYPE_CHECKING:
    from sheepvirt.ssh.client import Connection

FOLDER = "/var/lib/sheepvirt/kept"
PATTERN = "[0-9]*-[0-9]*"  # of the names of such folders; network files lie beside them
# Arguments: the folder's name or "", then kind, name and note of each thing. Prints the folder's
# name. What is kept already was kept by this run, before its first change: that is the former one.
KEEP = rf"""
set -e
umask 077
root={FOLDER} time=$1; shift
# What could not be written whole (a full disk) is removed: it must not be put back some day.
part=
trap '[ -z "$part" ] || rm -f "$part"' EXIT
[ -n "$time" ] || time=$(date +%Y%m%d-%H%M%S)
to=$root/$time
mkdir -p "$to/owned"
chmod 700 "$root" "$to"
show() {{ virsh -q -c qemu:///system "$@"; }}
into() {{
  part=$to/$1.new
  cat >"$part" && [ -s "$part" ] && mv "$part" "$to/$1" || {{ rm -f "$part"; return 1; }}
}}
copy() {{ part=$2.new; cp -p "$1" "$part"; mv "$part" "$2"; }}
define() {{
  kind=$1 dump=$2 info=$3 name=$4
  [ ! -e "$to/$kind-$name.xml" ] || return 0
  show $info "$name" | into "$kind-$name.info"
  show $dump --inactive $5 "$name" | into "$kind-$name.xml"
}}
while [ $# -ge 3 ]; do
  case $1 in
  network) define network net-dumpxml net-info "$2" ;;
  pool) define pool pool-dumpxml pool-info "$2" ;;
  domain) define domain dumpxml dominfo "$2" --security-info ;;
  bridge)
    if [ ! -e "$to/bridge-$2.datapath" ]; then
      ovs-vsctl --timeout=10 list-ports "$2" >"$to/bridge-$2.ports"
      ovs-vsctl --timeout=10 list bridge "$2" | into "bridge-$2.settings"
      ovs-vsctl --timeout=10 get bridge "$2" datapath_type | into "bridge-$2.datapath"
    fi ;;
  *)
    if [ ! -e "$to/files$2" ]; then
      mkdir -p "$to/files${{2%/*}}"
      copy "$2" "$to/files$2"
    fi ;;
  esac
  [ ! -e "{marks.FOLDER}/$3" ] || [ -e "$to/owned/$3" ] || copy "{marks.FOLDER}/$3" "$to/owned/$3"
  shift 3
done
printf '%s\n' "$time"
"""


@dataclass
class Keeper:
    """Keeps things of one host in the folder of one run."""

    time: str = ""  # the folder's name; "" until something is kept

    def keep(self, connection: Connection, *things: tuple[ObjectKind, str]) -> bool:
        """Keep things; return whether the folder is new. Raises RemoteCommandError."""
        words = [word for kind, name in things for word in (kind, name, note_file(kind, name))]
        said = connection.run(["sh", "-c", KEEP, "sh", self.time, *words]).stdout
        new = not self.time
        self.time = said.split()[-1]
        return new


def note_file(kind: ObjectKind, name: str) -> str:
    """Return the name of the file that marks an object."""
    return Mark(kind=kind, name=name, origin=Origin.TAKEN).file
