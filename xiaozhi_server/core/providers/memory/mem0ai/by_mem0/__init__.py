"""Everything that uses mem0's own library: its models, its stores, its rerankers."""
