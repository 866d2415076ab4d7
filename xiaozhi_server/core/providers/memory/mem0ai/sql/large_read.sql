SELECT counted_at, size, mean_length::float8 AS mean_length, tokens, counts, speakers
FROM memory_large
WHERE user_id = %(user_id)s
