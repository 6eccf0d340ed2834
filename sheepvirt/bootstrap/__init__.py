"""A host, over SSH: facts, and the steps that bring it to its wanted state."""
