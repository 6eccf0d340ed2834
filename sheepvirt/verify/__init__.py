"""Verification of a host, and negative controls of its checks."""
