"""Check whether a target's oldest rpm, yum and glibc can use RPMs and repos.

The command is ``python -m sheepvirt.compat`` (``__main__.py``).
"""
