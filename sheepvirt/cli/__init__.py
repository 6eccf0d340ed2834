"""Commands, and the output of commands."""
