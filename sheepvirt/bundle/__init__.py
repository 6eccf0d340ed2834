"""Bundles: all that builds need from outside the checkout in one file, written and taken in."""
