-- Long-term extraction of the conversations of Dify's apps. How far they were read, in the JSON of the public plugin.
CREATE TABLE memory_extraction_checkpoint (
    user_id    text        NOT NULL,
    app_id     text        NOT NULL,
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    value      jsonb       NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, app_id)
);

-- Who works on whom right now. A later holder has a higher fence; a row whose holder is silent or late is free.
CREATE SEQUENCE memory_extraction_fence;
CREATE TABLE memory_extraction_lock (
    user_id     text        NOT NULL,
    app_id      text        NOT NULL,
    holder_id   text        NOT NULL,
    fence       bigint      NOT NULL,
    acquired_at timestamptz NOT NULL,
    beat_at     timestamptz NOT NULL,
    ttl_seconds integer     NOT NULL,
    PRIMARY KEY (user_id, app_id)
);

-- A task names nobody: what was told of each user stands beside it, and goes with the user.
CREATE TABLE memory_extraction_task (
    id         text        PRIMARY KEY,
    value      jsonb       NOT NULL,
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX memory_extraction_task_age ON memory_extraction_task (updated_at);

CREATE TABLE memory_extraction_report (
    user_id text   NOT NULL,
    task_id text   NOT NULL REFERENCES memory_extraction_task (id) ON DELETE CASCADE,
    number  bigint GENERATED ALWAYS AS IDENTITY,
    value   jsonb  NOT NULL,
    PRIMARY KEY (user_id, task_id)
);
CREATE INDEX memory_extraction_report_task ON memory_extraction_report (task_id, number);
