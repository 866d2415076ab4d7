"""Memories that come and go as a whole: written to a file, read from one, and a person who is forgotten."""
