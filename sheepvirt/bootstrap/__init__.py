"""Bootstrap of a host over SSH: its facts, and the steps to its desired state."""
