"""Facts of a host. A fact is one object: its shell fragment, and its parser next to its type."""
