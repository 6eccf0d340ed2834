"""Shapes that cross the borders of packages: frozen dataclasses, no work."""
