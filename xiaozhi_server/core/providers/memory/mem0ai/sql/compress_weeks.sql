-- Where an owner has enough of them to make a summary of: the weeks of an agent and a run.
SELECT entry.agent_id, entry.run_id, date_trunc('week', entry.created_at AT TIME ZONE 'UTC')::date AS monday,
       count(*) AS memories
FROM {old}
WHERE entry.user_id = %(user_id)s
GROUP BY 1, 2, 3
HAVING count(*) >= %(least)s
ORDER BY 3, 1, 2
