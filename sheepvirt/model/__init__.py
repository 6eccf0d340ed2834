"""Data types that several packages share: frozen dataclasses without behaviour."""
