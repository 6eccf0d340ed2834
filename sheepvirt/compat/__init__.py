"""Whether a target's oldest rpm, yum and glibc can use what we ship.

The command is ``python -m sheepvirt.compat`` (``__main__.py``).
"""
