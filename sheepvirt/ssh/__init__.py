"""The only users of ssh."""
