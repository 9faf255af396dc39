"""A case's stages, one module each, in the order in which they happen."""
