"""Negative controls: break one thing, and exactly its checks must fail."""
