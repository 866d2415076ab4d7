-- What is remembered. The owner comes first in every key: all statements are scoped by it, an owner's rows are
-- found by a prefix of the primary key and scanned exactly, and a cluster can be cut along it.
-- An empty agent_id or run_id means "none", so that no statement has to think about NULL.
CREATE EXTENSION IF NOT EXISTS vector;

-- Which model made a vector. Vectors of different models are never compared.
CREATE TABLE memory_embedder (
    id         smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text     NOT NULL,
    dimensions integer  NOT NULL,
    UNIQUE (name, dimensions)
);

CREATE TABLE memory_entry (
    user_id    text        NOT NULL CHECK (user_id <> ''),
    id         uuid        NOT NULL,
    agent_id   text        NOT NULL DEFAULT '',
    run_id     text        NOT NULL DEFAULT '',
    session_id text        NOT NULL DEFAULT '',  -- where it was said; never a scope
    role       text        NOT NULL,
    speaker    text,
    text       text        NOT NULL,
    metadata   jsonb,
    created_at timestamptz NOT NULL,             -- when it was said
    updated_at timestamptz NOT NULL,
    words      integer[]   NOT NULL,             -- checksums of its words in their order, cut by us
    embedder   smallint    REFERENCES memory_embedder (id),
    embedding  halfvec,                          -- no fixed length: the model may change
    PRIMARY KEY (user_id, id)
);
-- Kept beside its row: fetching each vector from elsewhere would cost more than comparing it.
ALTER TABLE memory_entry ALTER COLUMN embedding SET STORAGE MAIN;
CREATE INDEX memory_entry_newest ON memory_entry (user_id, created_at DESC);

-- What shall be remembered but is not yet. Written in the transaction of the dialogue, drained in order per owner.
-- A finished entry gives up its text and stays a while as proof that its key was used.
CREATE TABLE memory_outbox (
    user_id    text        NOT NULL CHECK (user_id <> ''),
    key        text        NOT NULL,
    seq        bigint      GENERATED ALWAYS AS IDENTITY,
    agent_id   text        NOT NULL DEFAULT '',
    session_id text        NOT NULL DEFAULT '',
    state      text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'dead')),
    messages   jsonb,
    attempts   integer     NOT NULL DEFAULT 0,   -- also tells a worker whether the entry is still its own
    due_at     timestamptz NOT NULL DEFAULT now(),
    error      text,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz,
    PRIMARY KEY (user_id, key),
    CHECK ((state = 'done') = (messages IS NULL))
);
CREATE INDEX memory_outbox_unsaved ON memory_outbox (user_id, seq) WHERE state <> 'done';
CREATE INDEX memory_outbox_due ON memory_outbox (due_at) WHERE state = 'waiting';
CREATE INDEX memory_outbox_done ON memory_outbox (done_at) WHERE state = 'done';
