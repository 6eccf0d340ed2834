"""Targets, packages, hosts: TOML to model."""
