WITH revoked AS (
    DELETE FROM memory_share
    WHERE user_id = %(user_id)s AND agent_id = %(agent_id)s AND from_agent = %(from_agent)s
    RETURNING user_id, agent_id, from_agent
)
INSERT INTO memory_audit (user_id, event, agent_id, from_agent, done_by)
SELECT user_id, 'REVOKE', agent_id, from_agent, %(done_by)s FROM revoked
