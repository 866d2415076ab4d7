"""Texts as vectors: the embedders, and what they share."""
