"""From facts, catalogue and wish to a plan, and from a plan to command lines. Pure."""
