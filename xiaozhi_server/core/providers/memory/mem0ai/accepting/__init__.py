"""Writes that were accepted and are done later: written down before they are promised, done once and in order."""
