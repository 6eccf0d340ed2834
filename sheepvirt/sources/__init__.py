"""Sources: pinned ones are fetched, verified and cached; local ones come from ``--source``."""
