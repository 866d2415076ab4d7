-- Each request to Mem0's platform has a name of its own. `send_id` stays the same however often entries are sent.
ALTER TABLE memory_platform ADD COLUMN attempt text NOT NULL DEFAULT '';

-- What may appear on the platform although it was sent again, or is not wanted any more: a request of which nobody
-- knows whether it arrived, or one that was on its way when its owner had everything deleted. As soon as it is decided,
-- the memories of one request stay (`kept`; NULL: none) and those of all others of this name go, whenever they appear.
CREATE TABLE memory_platform_doubt (
    user_id  text        NOT NULL,
    send_id  text        NOT NULL,
    agent_id text        NOT NULL DEFAULT '',
    keys     text[]      NOT NULL,  -- the entries that were sent under this name
    decided  boolean     NOT NULL DEFAULT false,
    kept     text,
    since    timestamptz NOT NULL DEFAULT now(),
    look_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, send_id)
);
CREATE INDEX memory_platform_doubt_due ON memory_platform_doubt (look_at) WHERE decided;
