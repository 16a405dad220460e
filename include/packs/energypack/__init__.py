"""What the energy pack needs beyond its declarations."""
