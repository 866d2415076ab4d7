-- The first client that comes with a device id keeps it. The row lock makes it one of two that come at once.
INSERT INTO device (id, client_id)
VALUES (%(device_id)s, %(client_id)s)
ON CONFLICT (id) DO UPDATE SET
    client_id = CASE WHEN device.revoked_at IS NULL THEN coalesce(device.client_id, excluded.client_id)
        ELSE device.client_id END
RETURNING client_id, token_generation, revoked_at IS NOT NULL AS revoked
