"""What the factory pack needs beyond its declarations."""
