SELECT coalesce(embedder.name, '') AS name, count(*) AS entries
FROM memory_entry AS entry
LEFT JOIN memory_embedder AS embedder ON embedder.id = entry.embedder
WHERE entry.embedder IS DISTINCT FROM %(embedder)s
GROUP BY 1
ORDER BY 2 DESC
