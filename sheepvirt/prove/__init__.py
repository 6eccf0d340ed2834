"""Whether a host and a build are what was declared, and whether each check can fail at all."""
