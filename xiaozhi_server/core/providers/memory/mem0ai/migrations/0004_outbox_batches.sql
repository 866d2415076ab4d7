-- Entries of one owner may be saved together. `batch` is the first one's number, given when they are taken: what failed
-- comes again as it was. `ended` means that their session goes no further, so that nobody need wait for more of it.
-- `instruction` is what the agent wants remembered, for whoever asks a model.
ALTER TABLE memory_outbox
    ADD COLUMN chars       integer NOT NULL DEFAULT 0,
    ADD COLUMN batch       bigint,
    ADD COLUMN ended       boolean NOT NULL DEFAULT false,
    ADD COLUMN instruction text    NOT NULL DEFAULT '';
