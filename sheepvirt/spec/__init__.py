"""Specs: read losslessly, patched by intent, proven with rpm's expansion.

The command is ``python -m sheepvirt.spec`` (``__main__.py``).
"""
