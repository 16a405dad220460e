"""The simulated operator: a field database and partner files whose truth is known."""
