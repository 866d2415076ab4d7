-- What the daily work did: a row for each day and step. Without `ended_at` it is under way, was broken off, or failed.
-- Numbers only; nobody is named.
CREATE TABLE memory_run (
    day        date        NOT NULL,  -- in the time zone of whoever ran it
    step       text        NOT NULL,
    attempts   integer     NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    error      text,
    counts     jsonb       NOT NULL DEFAULT '{}',
    PRIMARY KEY (day, step)
);

-- What a summary stands for is found from the summary, and goes with it.
CREATE INDEX memory_entry_compressed ON memory_entry (user_id, compressed_into) WHERE compressed_into IS NOT NULL;

ALTER TABLE memory_entry
    ADD CONSTRAINT memory_entry_access_count_check CHECK (access_count >= 0),
    ADD CONSTRAINT memory_entry_quality_check CHECK (quality BETWEEN 0 AND 1);
