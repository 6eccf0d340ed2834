"""``python -m sheepvirt.spec``: see cli/spec.py."""

import sys

from sheepvirt.cli.spec import main
from sheepvirt.core import output

if __name__ == "__main__":
    sys.exit(output.status(main))
