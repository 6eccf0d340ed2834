"""pocketsheep: a small stand-in for sheepdog. One node, no redundancy; for rehearsals and tests.

It speaks sheepdog's wire protocol well enough for QEMU's real block driver and, through its own
``dog``, for libvirt's real storage backend. It is not sheepdog.

Standard library only; runs on Python 3.9 (Debian bullseye) and later.
"""

VERSION = "0.1.0"
WHAT = (
    f"pocketsheep {VERSION}, a stand-in for sheepdog: a single node, no redundancy, "
    "for rehearsals and tests; it is not sheepdog"
)
