"""What ``invoke`` reads: the commands of ``sheepvirt.cli.commands``, under the same names."""

from sheepvirt.cli.commands import namespace

__all__ = ["namespace"]
