-- Whether a device may come in, where the server checks that. Tokens bear the generation they were made in: a higher one
-- here makes all of them void at once.

ALTER TABLE device
    ADD COLUMN token_generation integer NOT NULL DEFAULT 0,
    ADD COLUMN revoked_at timestamptz;
