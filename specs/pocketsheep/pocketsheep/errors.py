"""What can go wrong in the store."""

from __future__ import annotations

import errno

from pocketsheep.wire import Result

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class StoreError(Exception):
    """The store cannot be opened: it is not ours, of another format, in use, or damaged."""


class Refusal(Exception):
    """A request that is answered with an error. ``result`` is the code that the client gets."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.name)
        self.result = result


def result_of(error: OSError) -> Result:
    """Return the code for an error of the filesystem: NO_SPACE, or EIO."""
    return Result.NO_SPACE if error.errno in _NO_SPACE else Result.EIO
