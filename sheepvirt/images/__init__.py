"""Images that are made here: base, builder, host and guest, and what a base is made of."""
