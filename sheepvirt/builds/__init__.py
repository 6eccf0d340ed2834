"""Builds: from pinned sources to a published repo, checked at each gate."""
