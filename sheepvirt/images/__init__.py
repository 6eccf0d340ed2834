"""Container images (base, builder, host) and guests' disk images, and the origin of a base."""
