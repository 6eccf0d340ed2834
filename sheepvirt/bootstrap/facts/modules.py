"""Facts of the kernel's modules."""

from __future__ import annotations

from sheepvirt.bootstrap.facts.fact import fixed_fact, is_yes, queried_fact

KERNEL_DATAPATH = fixed_fact(
    "kernel-datapath", "[ ! -d /sys/module/openvswitch ] || printf yes\n", is_yes
)


def _files(text: str) -> tuple[str, ...] | None:
    return tuple(text.split()) or None


MODULES = queried_fact(
    "module",
    r"""
cd "/lib/modules/$(uname -r)" 2>/dev/null || exit
find kernel extra weak-updates updates -name "$value.ko*" 2>/dev/null
sed -n "/\/$value\.ko\$/p" modules.builtin 2>/dev/null
""",
    lambda query: query.modules,
    _files,
)
