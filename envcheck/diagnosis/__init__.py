"""From facts to a report: checks, their order, and the one primary cause. Pure."""
