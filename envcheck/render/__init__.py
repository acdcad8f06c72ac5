"""Faces: the same report as console text, JSON or Markdown. No face computes anything."""
