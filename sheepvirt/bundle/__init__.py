"""Bundles: one file with everything that offline builds need from outside the checkout."""
