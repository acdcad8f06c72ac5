"""Pasted text to facts. Pure."""
