-- Which agent may read what another one heard of a person. One grant is for one person.
CREATE TABLE memory_share (
    user_id    text        NOT NULL CHECK (user_id <> ''),
    agent_id   text        NOT NULL CHECK (agent_id <> ''),    -- who may read
    from_agent text        NOT NULL CHECK (from_agent <> ''),  -- whose memories
    granted_by text        NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, agent_id, from_agent),
    CHECK (agent_id <> from_agent)
);

-- Who granted and revoked what, and how often it was read: one line for each day, with the last time.
CREATE TABLE memory_audit (
    user_id     text        NOT NULL CHECK (user_id <> ''),
    seq         bigint      GENERATED ALWAYS AS IDENTITY,
    event       text        NOT NULL CHECK (event IN ('GRANT', 'REVOKE', 'READ')),
    agent_id    text        NOT NULL,
    from_agent  text        NOT NULL,
    done_by     text        NOT NULL DEFAULT '',
    day         date        NOT NULL DEFAULT current_date,
    happened_at timestamptz NOT NULL DEFAULT now(),
    reads       integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, seq),
    CHECK ((event = 'READ') = (reads > 0))
);
CREATE UNIQUE INDEX memory_audit_reads ON memory_audit (user_id, agent_id, from_agent, day) WHERE event = 'READ';

-- Programs that keep an owner's memories at hand keep the grants with them.
CREATE TRIGGER memory_share_granted AFTER INSERT ON memory_share
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION memory_tell_rows();
CREATE TRIGGER memory_share_revoked AFTER DELETE ON memory_share
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION memory_tell_rows();
CREATE TRIGGER memory_share_emptied AFTER TRUNCATE ON memory_share EXECUTE FUNCTION memory_tell_all();
