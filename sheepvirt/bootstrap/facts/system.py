"""Facts of the system: distribution, init, boot, language, installer, kernel."""

from __future__ import annotations

from sheepvirt.bootstrap.facts.fact import fixed_fact, is_yes
from sheepvirt.model.enums import Init

# In this file a step notes the boot during which packages changed.
REBOOT_WANTED = "/var/lib/sheepvirt/reboot-wanted"
# Lines that set $init, for the fragments that depend on it.
SET_INIT = r"""
init=other
if [ -d /run/systemd/system ]; then init=systemd; elif has chkconfig; then init=sysv; fi
"""

OS = fixed_fact(
    "os",
    r"""
if [ -r /etc/os-release ]; then ( . /etc/os-release; printf '%s %s' "$ID" "$VERSION_ID" )
elif [ -r /etc/redhat-release ]; then cat /etc/redhat-release; fi
""",
    str.strip,
)


def _init(text: str) -> Init:
    word = text.strip()
    return Init(word) if word in set(Init) else Init.OTHER


INIT = fixed_fact("init", SET_INIT + "printf '%s' $init\n", _init)


def boot_identity(text: str) -> str:
    """Parse the output of `BOOT_IDENTITY`: a text that changes with every boot."""
    return "/".join(text.split())


# boot_id belongs to the kernel, so the reboot of a container does not change it. The start time of
# PID 1 changes (field 22 of proc(5)'s stat, 20 fields after the command's name). On a machine both
# change.
BOOT_IDENTITY = r"""
cat /proc/sys/kernel/random/boot_id
sed 's/^.*) //' /proc/1/stat | cut -d' ' -f20
"""
BOOT = fixed_fact("boot", BOOT_IDENTITY, boot_identity)
REBOOT_NOTE = fixed_fact(
    "reboot-wanted", f"[ ! -r {REBOOT_WANTED} ] || cat {REBOOT_WANTED}\n", str.strip
)


def _language(text: str) -> str:
    lines = text.split()
    return lines[0].strip("\"'") if lines else ""


LANGUAGE = fixed_fact(
    "language",
    r"""
for f in /etc/locale.conf /etc/sysconfig/i18n /etc/default/locale; do
  [ ! -r $f ] || sed -n 's/^LANG=//p' $f
done
""",
    _language,
)
INSTALLER = fixed_fact(
    "installer",
    "if has dnf; then printf dnf; elif has yum; then printf yum; fi\n",
    str.strip,
)
KERNEL = fixed_fact("kernel", "uname -r\n", str.strip)
KVM_DEVICE = fixed_fact("kvm-device", "[ ! -c /dev/kvm ] || printf yes\n", is_yes)
