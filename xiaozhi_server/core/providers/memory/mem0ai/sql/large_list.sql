SELECT user_id, counted_at FROM memory_large ORDER BY counted_at
