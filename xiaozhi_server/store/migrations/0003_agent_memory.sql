-- What an agent wants done with its memories in the course of time (see MemoryRules): only what it says of it.
ALTER TABLE agent ADD COLUMN memory_rules jsonb NOT NULL DEFAULT '{}';
