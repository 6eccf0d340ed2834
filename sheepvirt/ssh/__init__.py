"""SSH: connections to hosts, keys and pinned host keys. Nothing else uses ssh."""
