"""A host, over SSH: what is wanted of it, what is found on it, the steps between the two."""
