-- Note that a device is here and find who answers it, in one round trip.
WITH seen AS (
    INSERT INTO device (id, client_id, board, firmware_version, user_agent, language, remote_address)
    VALUES (
        %(device_id)s, %(client_id)s, %(board)s, %(firmware_version)s, %(user_agent)s, %(language)s,
        %(remote_address)s
    )
    ON CONFLICT (id) DO UPDATE SET
        client_id = coalesce(device.client_id, excluded.client_id),
        board = coalesce(excluded.board, device.board),
        firmware_version = coalesce(excluded.firmware_version, device.firmware_version),
        user_agent = coalesce(excluded.user_agent, device.user_agent),
        language = coalesce(excluded.language, device.language),
        remote_address = coalesce(excluded.remote_address, device.remote_address),
        last_seen_at = now()
    RETURNING account_id, agent_id, language AS device_language
)
SELECT
    seen.account_id,
    seen.device_language,
    agent.id,
    agent.name,
    agent.prompt,
    agent.language,
    agent.timezone,
    agent.memory_enabled,
    agent.history,
    agent.summary_memory,
    agent.memory_rules
FROM seen
JOIN agent ON agent.id = coalesce(seen.agent_id, %(default_agent_id)s)
