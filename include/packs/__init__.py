"""Python that one vertical alone needs, a folder a pack."""
