SELECT id, client_id, revoked_at IS NOT NULL AS revoked, board, firmware_version, last_seen_at
FROM device
ORDER BY last_seen_at DESC, id
