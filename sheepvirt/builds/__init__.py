"""From pinned sources to a published repo: planned, carried out, judged at each gate."""
