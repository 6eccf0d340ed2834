"""Data types that several packages share: frozen dataclasses, and what follows from a field."""
