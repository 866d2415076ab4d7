-- Which rows of a table of mem0's have come over. Only the ids, which tell nothing of anybody: what was deleted or
-- forgotten here since then does not come a second time.
CREATE TABLE memory_adopted (
    id uuid PRIMARY KEY
);

-- The pictures of an entry that waits, one list of addresses for each of its messages; beside the texts, since every
-- question reads those.
ALTER TABLE memory_outbox ADD COLUMN images jsonb;
