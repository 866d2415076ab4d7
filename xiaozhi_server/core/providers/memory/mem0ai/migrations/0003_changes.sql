-- What a search needs besides the rows: a row's neighbours of the same session, and word of every change.
CREATE INDEX memory_entry_session ON memory_entry (user_id, session_id, created_at) WHERE session_id <> '';

-- Programs keep an active owner's memories at hand. Whoever changes them, in whatever way, tells all by the channel
-- memory_changed: the owner and, where an exchange was put into the outbox, a tab and its key. An empty message means
-- everybody. Ids are far shorter than a message may be; a longer one is cut here and nobody looks for it.
CREATE FUNCTION memory_tell_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('memory_changed', left(user_id, 1000)) FROM (SELECT DISTINCT user_id FROM changed) AS owner;
    RETURN NULL;
END $$;

CREATE FUNCTION memory_tell_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('memory_changed', left(NEW.user_id, 1000));
    RETURN NULL;
END $$;

CREATE FUNCTION memory_tell_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('memory_changed', left(NEW.user_id, 1000) || E'\t' || left(NEW.key, 200));
    RETURN NULL;
END $$;

CREATE FUNCTION memory_tell_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('memory_changed', '');
    RETURN NULL;
END $$;

CREATE TRIGGER memory_entry_added AFTER INSERT ON memory_entry
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION memory_tell_rows();
CREATE TRIGGER memory_entry_deleted AFTER DELETE ON memory_entry
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION memory_tell_rows();
-- Not when a memory was merely read (accessed_at, access_count).
CREATE TRIGGER memory_entry_updated
    AFTER UPDATE OF user_id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at,
        subtype, flag, position, valid_from, valid_to, superseded_by, expires_at, words, embedder, embedding
    ON memory_entry FOR EACH ROW EXECUTE FUNCTION memory_tell_row();
CREATE TRIGGER memory_entry_emptied AFTER TRUNCATE ON memory_entry EXECUTE FUNCTION memory_tell_all();

CREATE TRIGGER memory_outbox_put AFTER INSERT ON memory_outbox FOR EACH ROW EXECUTE FUNCTION memory_tell_entry();
CREATE TRIGGER memory_outbox_moved AFTER UPDATE OF state ON memory_outbox FOR EACH ROW
    WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION memory_tell_row();
CREATE TRIGGER memory_outbox_emptied AFTER TRUNCATE ON memory_outbox EXECUTE FUNCTION memory_tell_all();

-- Owners with so many memories that they have indexes of their own, and how often each word stands in them: counting
-- that for every question would take too long.
CREATE TABLE memory_large (
    user_id     text        PRIMARY KEY,
    size        integer     NOT NULL,
    mean_length real        NOT NULL,
    tokens      integer[]   NOT NULL,
    counts      integer[]   NOT NULL,
    speakers    text[]      NOT NULL,
    counted_at  timestamptz NOT NULL DEFAULT now()
);
