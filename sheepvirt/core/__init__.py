"""The lowest layer: errors, files and folders, processes, locks, progress, TOML tables."""
