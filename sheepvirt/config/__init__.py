"""Configuration of targets, packages and hosts: TOML files to dataclasses."""
