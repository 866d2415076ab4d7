INSERT INTO memory_embedder (name, dimensions) VALUES (%(name)s, %(dimensions)s) ON CONFLICT (name, dimensions) DO NOTHING
