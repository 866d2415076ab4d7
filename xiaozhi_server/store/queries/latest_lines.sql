-- The end of the last conversation of this household with this agent, newest first.
SELECT message.id::text, message.role, message.content, message.spoken_at
FROM message
WHERE message.owner_id = %(owner_id)s
    AND message.agent_id = %(agent_id)s
    AND message.session_id = (
        SELECT latest.session_id
        FROM message AS latest
        WHERE latest.owner_id = %(owner_id)s AND latest.agent_id = %(agent_id)s
        ORDER BY latest.spoken_at DESC, latest.position DESC
        LIMIT 1
    )
ORDER BY message.spoken_at DESC, message.position DESC
LIMIT %(limit)s
