"""The only users of the container engine, and how it is installed."""
