"""Specs: read without losing a byte, patched by intent, proved by what rpm expands them to.

The command is ``python -m sheepvirt.spec`` (``__main__.py``).
"""
