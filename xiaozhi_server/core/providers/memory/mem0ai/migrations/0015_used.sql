-- When a memory was last used as an answer, however well it fitted: what was used lately is never forgotten for its age.
-- The formula of fading knows only recalls that fitted (accessed_at).
ALTER TABLE memory_entry ADD COLUMN used_at timestamptz;
