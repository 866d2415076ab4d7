-- What Mem0's platform was told of an entry that is not done yet: the name under which it was sent, and the event that
-- the platform made of it. Written before the request leaves, so that nobody sends again what may be there already.
-- `copied` means that the entry lies among the memories here too, for as long as the platform is away.
CREATE TABLE memory_platform (
    user_id  text        NOT NULL,
    key      text        NOT NULL,
    send_id  text        NOT NULL DEFAULT '',
    event_id text        NOT NULL DEFAULT '',
    sent_at  timestamptz NOT NULL DEFAULT now(),
    copied   boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, key),
    FOREIGN KEY (user_id, key) REFERENCES memory_outbox (user_id, key) ON DELETE CASCADE
);
