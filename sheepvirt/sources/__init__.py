"""Pinned sources: fetched, verified, cached; or given by hand."""
