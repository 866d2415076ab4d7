-- The running notes of mem_local_short: one text per owner and agent, replaced as a whole.
CREATE TABLE memory_summary (
    user_id    text        NOT NULL CHECK (user_id <> ''),
    agent_id   text        NOT NULL DEFAULT '',
    text       text        NOT NULL,
    version    integer     NOT NULL DEFAULT 1,  -- a rewrite of an older text than the present one is not taken
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, agent_id)
);
