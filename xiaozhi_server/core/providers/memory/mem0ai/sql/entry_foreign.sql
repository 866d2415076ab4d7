-- Whether any memory has a vector of another embedder. Nobody reads the memories where there never was another one.
SELECT CASE
    WHEN EXISTS (SELECT FROM memory_embedder WHERE id <> %(embedder)s)
    THEN EXISTS (SELECT FROM memory_entry WHERE embedder <> %(embedder)s)
    ELSE false
END AS is_there
