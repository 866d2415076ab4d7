-- Whose dialogue was forgotten, and when: what was said until then is not written any more, however late it arrives.
-- Only a checksum of the owner's id is kept.
CREATE TABLE forgotten_owner (
    owner        bytea       PRIMARY KEY,  -- sha256 of the owner_id
    forgotten_at timestamptz NOT NULL
);
