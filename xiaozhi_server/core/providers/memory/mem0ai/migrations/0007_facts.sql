-- What becomes of a memory in the course of time. A replaced one keeps its place with `valid_to` and `superseded_by`; one
-- that a summary stands for names it, and is not recalled as long as it does.
ALTER TABLE memory_entry
    ADD COLUMN pinned          boolean NOT NULL DEFAULT false,  -- never forgotten by itself
    ADD COLUMN quality         real,                            -- how well it fitted when it was recalled, smoothed
    ADD COLUMN compressed_into uuid;

DROP TRIGGER memory_entry_updated ON memory_entry;
-- Not when a memory was merely read (accessed_at, access_count, quality).
CREATE TRIGGER memory_entry_updated
    AFTER UPDATE OF user_id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at,
        subtype, flag, position, valid_from, valid_to, superseded_by, expires_at, words, embedder, embedding, pinned,
        compressed_into
    ON memory_entry FOR EACH ROW EXECUTE FUNCTION memory_tell_row();

-- SUPERSEDE: what took its place is the new text. COMPRESS: the summary is. RESTORE: it is recalled again, as it was.
ALTER TABLE memory_history
    DROP CONSTRAINT memory_history_event_check,
    ADD CONSTRAINT memory_history_event_check
        CHECK (event IN ('UPDATE', 'DELETE', 'SUPERSEDE', 'COMPRESS', 'RESTORE'));

-- People and things that memories are about, of an owner and what one agent heard. `key` is the name as it is compared;
-- the owner has the key "self".
CREATE TABLE memory_thing (
    user_id    text        NOT NULL CHECK (user_id <> ''),
    id         uuid        NOT NULL,
    agent_id   text        NOT NULL DEFAULT '',
    name       text        NOT NULL,
    kind       text        NOT NULL DEFAULT '',   -- person, place, animal, …
    key        text        NOT NULL,
    also       text[]      NOT NULL DEFAULT '{}', -- other names of it
    also_keys  text[]      NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, id),
    UNIQUE (user_id, agent_id, key)
);

-- Which memories are about which thing. Without the memory the link is gone, and a thing that nothing is about any more
-- goes with the last of them.
CREATE TABLE memory_link (
    user_id   text NOT NULL,
    memory_id uuid NOT NULL,
    thing_id  uuid NOT NULL,
    PRIMARY KEY (user_id, memory_id, thing_id),
    FOREIGN KEY (user_id, memory_id) REFERENCES memory_entry (user_id, id) ON DELETE CASCADE,
    FOREIGN KEY (user_id, thing_id) REFERENCES memory_thing (user_id, id) ON DELETE CASCADE
);
CREATE INDEX memory_link_thing ON memory_link (user_id, thing_id);

-- "Anna – sister – self": the subject is the object's sister. `memory_id` is where it was said.
CREATE TABLE memory_relation (
    user_id    text        NOT NULL,
    id         uuid        NOT NULL,
    agent_id   text        NOT NULL DEFAULT '',
    subject    uuid        NOT NULL,
    relation   text        NOT NULL,
    object     uuid        NOT NULL,
    memory_id  uuid,
    created_at timestamptz NOT NULL,
    valid_to   timestamptz,
    PRIMARY KEY (user_id, id),
    UNIQUE (user_id, subject, relation, object),
    FOREIGN KEY (user_id, subject) REFERENCES memory_thing (user_id, id) ON DELETE CASCADE,
    FOREIGN KEY (user_id, object) REFERENCES memory_thing (user_id, id) ON DELETE CASCADE,
    FOREIGN KEY (user_id, memory_id) REFERENCES memory_entry (user_id, id) ON DELETE CASCADE
);
CREATE INDEX memory_relation_object ON memory_relation (user_id, object);
CREATE INDEX memory_relation_memory ON memory_relation (user_id, memory_id);

-- Programs that keep an owner's memories at hand keep these too.
CREATE TRIGGER memory_thing_changed AFTER INSERT OR UPDATE ON memory_thing
    FOR EACH ROW EXECUTE FUNCTION memory_tell_row();
CREATE TRIGGER memory_relation_changed AFTER INSERT OR UPDATE ON memory_relation
    FOR EACH ROW EXECUTE FUNCTION memory_tell_row();
CREATE TRIGGER memory_thing_deleted AFTER DELETE ON memory_thing
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION memory_tell_rows();
CREATE TRIGGER memory_relation_deleted AFTER DELETE ON memory_relation
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION memory_tell_rows();
