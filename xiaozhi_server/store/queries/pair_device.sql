-- Without a client id the next client that comes with this device id keeps it. Earlier tokens are void.
INSERT INTO device (id, client_id)
VALUES (%(device_id)s, %(client_id)s)
ON CONFLICT (id) DO UPDATE SET
    client_id = excluded.client_id,
    revoked_at = NULL,
    token_generation = device.token_generation + 1
