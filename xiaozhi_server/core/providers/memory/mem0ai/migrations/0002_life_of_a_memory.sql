-- What may happen to a memory after it was written down: it gets a kind, is corrected, replaced, read, and runs out.
ALTER TABLE memory_entry
    ADD COLUMN subtype       text    NOT NULL DEFAULT '',
    ADD COLUMN flag          text    NOT NULL DEFAULT '',  -- why a text is kept as it was said, where that was not meant
    ADD COLUMN position      integer NOT NULL DEFAULT 0,   -- among texts of one session that were said at the same time
    ADD COLUMN valid_from    timestamptz,
    ADD COLUMN valid_to      timestamptz,
    ADD COLUMN superseded_by uuid,
    ADD COLUMN expires_at    timestamptz,
    ADD COLUMN accessed_at   timestamptz,
    ADD COLUMN access_count  integer NOT NULL DEFAULT 0;

-- Every change of a memory, kept when the memory is gone. That it was added is told by the row itself, and once it has
-- changed by the first change: its old text is what was added.
CREATE TABLE memory_history (
    user_id     text        NOT NULL CHECK (user_id <> ''),
    memory_id   uuid        NOT NULL,
    seq         bigint      GENERATED ALWAYS AS IDENTITY,
    event       text        NOT NULL CHECK (event IN ('UPDATE', 'DELETE')),
    old_text    text        NOT NULL,
    new_text    text,
    role        text        NOT NULL,
    speaker     text,
    created_at  timestamptz NOT NULL,  -- of the memory
    happened_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, memory_id, seq),
    CHECK ((event = 'DELETE') = (new_text IS NULL))
);
