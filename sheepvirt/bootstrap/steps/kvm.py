"""Find out whether guests run under KVM, by booting one: a /dev/kvm that opens proves nothing.

The guest's image is booted without libvirt, as libvirt's user for QEMU, on a temporary snapshot.
The result is noted on the host, for this QEMU and this kernel.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps.base import STATE, DesiredState, Step, StepContext
from sheepvirt.core.errors import SshError
from sheepvirt.images import guest as guests
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "kvm"
NOTE = f"{STATE}/kvm"
IMAGE = f"{STATE}/kvm-probe.img"
SECONDS = 20
# Prints "yes SECONDS", or "no" and QEMU's message about KVM, else the last output line. On an
# internal error of KVM, QEMU stops the guest: there is no need to wait.
SCRIPT = r"""
image=$1 line=$2 seconds=$3 user=qemu
id $user >/dev/null 2>&1 || user=root
said=$(mktemp) || exit 1
trap 'kill $probe 2>/dev/null; rm -f "$said"' EXIT
require_room() { # for the output; and for what the guest writes, which QEMU has in /var/tmp
  for dir in "${said%/*}" "${TMPDIR:-/var/tmp}"; do
    test=$(mktemp "$dir/sheepvirt-room-XXXXXX") && head -c 1048576 /dev/zero >"$test" || full=$dir
    rm -f "$test"
  done
  [ -z "$full" ] || { echo "there is no room in $full to try KVM" >&2; exit 1; }
}
require_room
timeout "$seconds" runuser -s /bin/sh -c "exec qemu-system-x86_64 -machine pc,accel=kvm -m 256 \
  -display none -monitor none -serial stdio -nic none -no-reboot \
  -drive if=virtio,format=raw,snapshot=on,file=$image" $user </dev/null >"$said" 2>&1 &
probe=$!
start=$(date +%s)
while kill -0 $probe 2>/dev/null && ! grep -qaFe 'KVM internal error' "$said"; do
  if grep -qaFe "$line" "$said"; then
    echo "yes $(($(date +%s) - start))"
    exit 0
  fi
  sleep 0.2
done
require_room # a full disk says nothing about KVM
spoke() { tr -cd '[:print:]\n' <"$said" | sed '/^ *$/d; /terminat/d; /killed/d'; }
why=$(spoke | grep -m 1 'KVM') || why=$(spoke | tail -n 1)
echo "no $why"
"""


@dataclass(frozen=True)
class Verdict:
    """The accelerator of guests, as libvirt's domain type, and the reason."""

    type: str  # kvm | qemu
    why: str


def verdict(facts: Facts) -> Verdict | None:
    """Return what is known about the host; None if a guest must be booted. Pure."""
    if not facts.boot:
        return None  # the host is unknown yet
    if not facts.kvm_device:
        return Verdict("qemu", "the host has no /dev/kvm")
    noted = facts.texts.get(NOTE, "").splitlines()
    if len(noted) == 3 and noted[0] == _key(facts) and noted[1] in {"kvm", "qemu"}:
        return Verdict(noted[1], noted[2])
    return None


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """It is known whether guests run under KVM with this QEMU and this kernel."""
    if verdict(facts) or not wanted.host.guests:
        return []
    return [
        Change(
            step=NAME,
            what="KVM tried with a guest that must print its line, if /dev/kvm exists; guests are "
            "then defined for what it shows",
        )
    ]


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Boot the first guest's image under KVM and note whether it printed its line."""
    guest = wanted.host.guests[0]
    image = guests.ensure_image(context.work, guest)
    argv = ("sh", "-s", "--", IMAGE, guest.console_marker, str(SECONDS))
    try:
        context.connection.put(image, IMAGE, on_line=context.line)
        said = context.run(*argv, stdin=SCRIPT.encode()).stdout
    except BaseException:
        with contextlib.suppress(SshError):
            context.run("rm", "-f", IMAGE)
        raise
    word, _, rest = said.strip().partition(" ")
    found = Verdict("kvm", f"a guest printed its line under KVM within {rest} s")
    if word != "yes":
        why = f"under KVM a guest did not print its line: {rest[:100] or 'it printed nothing'}"
        found = Verdict("qemu", why)
    context.run("rm", "-f", IMAGE)
    note = f"{_key(facts)}\n{found.type}\n{found.why}\n"
    context.connection.write(NOTE, note.encode())
    context.stage.note = f"{found.type}: {found.why}"


def _key(facts: Facts) -> str:
    return f"{facts.packages.get('qemu-kvm', 'qemu')} {facts.kernel}"


STEP = Step(name=NAME, check=check, apply=apply)
