SELECT id FROM memory_embedder WHERE name = %(name)s AND dimensions = %(dimensions)s
