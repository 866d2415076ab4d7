SELECT pass.device_id, pass.generation
FROM unnest(%(device_ids)s::text[], %(generations)s::integer[]) AS pass (device_id, generation)
LEFT JOIN device ON device.id = pass.device_id
WHERE device.id IS NULL OR device.revoked_at IS NOT NULL OR device.token_generation <> pass.generation
