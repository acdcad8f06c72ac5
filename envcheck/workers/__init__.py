"""Scripts that run in another interpreter: read as text, never imported.

Standard library (and torch) only, Python 3.7 syntax.
"""
