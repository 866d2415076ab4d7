-- Whose a line of dialogue is, where that is a person of the household whose voice was recognised: the name under which
-- the memories of that person are kept. Null: the household's own, or written before this column was there.
ALTER TABLE message ADD COLUMN person_owner varchar(256);

CREATE INDEX message_person ON message (person_owner) WHERE person_owner IS NOT NULL;
