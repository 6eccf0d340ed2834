"""What everything stands on: errors, files and folders, processes, locks, progress, TOML tables."""
