-- Writes that were accepted and are done later, each owner's in order. One that is done is gone from here. `attempts`
-- also tells a worker whether it is still its own.
CREATE TABLE memory_accepted (
    user_id     text        NOT NULL CHECK (user_id <> ''),
    id          uuid        NOT NULL,
    seq         bigint      GENERATED ALWAYS AS IDENTITY,
    operation   text        NOT NULL CHECK (operation IN ('add', 'update', 'delete', 'delete_all')),
    arguments   jsonb       NOT NULL,
    state       text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    attempts    integer     NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT now(),
    error       text,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, id)
);
CREATE INDEX memory_accepted_next ON memory_accepted (user_id, seq) WHERE state = 'waiting';

-- Like an exchange (see 0011_forgotten.sql): who forgets a person waits for what is being accepted, and what was
-- accepted until then is not taken.
CREATE FUNCTION memory_take_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM memory_hold(ARRAY[NEW.user_id]);
    IF EXISTS (SELECT FROM memory_forgotten
               WHERE owner = memory_owner(NEW.user_id) AND forgotten_at >= NEW.accepted_at) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER memory_accepted_taken BEFORE INSERT ON memory_accepted FOR EACH ROW EXECUTE FUNCTION memory_take_write();

-- Whose memory an id is, where the id is all that is known; of what is deleted its history tells it.
CREATE INDEX memory_entry_id ON memory_entry (id);
CREATE INDEX memory_history_memory ON memory_history (memory_id);

-- What one agent heard of everybody. Its own form of the column: no statement about one owner is ever tempted by these.
CREATE INDEX memory_entry_agent ON memory_entry (nullif(agent_id, ''), created_at DESC, id DESC)
    WHERE nullif(agent_id, '') IS NOT NULL;
CREATE INDEX memory_outbox_agent ON memory_outbox (nullif(agent_id, ''), seq) WHERE state <> 'done';
