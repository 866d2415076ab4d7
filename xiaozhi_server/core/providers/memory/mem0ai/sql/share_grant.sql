-- Only what is new is told.
WITH granted AS (
    INSERT INTO memory_share (user_id, agent_id, from_agent, granted_by)
    VALUES (%(user_id)s, %(agent_id)s, %(from_agent)s, %(done_by)s)
    ON CONFLICT (user_id, agent_id, from_agent) DO NOTHING
    RETURNING user_id, agent_id, from_agent, granted_by
)
INSERT INTO memory_audit (user_id, event, agent_id, from_agent, done_by)
SELECT user_id, 'GRANT', agent_id, from_agent, granted_by FROM granted
