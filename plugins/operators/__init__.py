"""One operator per verb of the flow, each a thin shell over a function of `include/`."""
