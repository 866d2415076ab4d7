"""The people and things that memories are about, and their relations: listed and corrected by hand."""
