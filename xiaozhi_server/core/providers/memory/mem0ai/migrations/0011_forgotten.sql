-- Who was forgotten, and when: what was said until then is not taken any more, however late it arrives. Only a checksum
-- of the id is kept.
CREATE TABLE memory_forgotten (
    owner        bytea       PRIMARY KEY,  -- memory_owner(user_id)
    forgotten_at timestamptz NOT NULL
);

CREATE FUNCTION memory_owner(user_id text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to(user_id, 'UTF8'))
$$;

-- A transaction that adds something holds its owners until it ends; who forgets one waits for that, and the next ones
-- for him. So many locks there are at most, whoever adds for however many.
CREATE FUNCTION memory_owner_lock(user_id text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtext(user_id) & 1023
$$;

CREATE FUNCTION memory_hold(owners text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('memory_owner'), number)
    FROM (SELECT DISTINCT memory_owner_lock(user_id) AS number FROM unnest(owners) AS owner (user_id) ORDER BY 1) AS lock;
END $$;

CREATE FUNCTION memory_hold_alone(user_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('memory_owner'), memory_owner_lock(user_id));
END $$;

-- Each statement below sees what was committed while its transaction waited. Who restores memories from a file says so
-- by the setting memory.restoring.
CREATE FUNCTION memory_take_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    forgotten timestamptz;
BEGIN
    PERFORM memory_hold(ARRAY[NEW.user_id]);
    SELECT forgotten_at INTO forgotten FROM memory_forgotten WHERE owner = memory_owner(NEW.user_id);
    IF forgotten IS NULL OR current_setting('memory.restoring', true) = 'on' THEN
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT FROM jsonb_array_elements(NEW.messages) AS message
               WHERE (message ->> 'spoken_at')::timestamptz <= forgotten) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION memory_take_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM memory_hold(ARRAY(SELECT DISTINCT user_id FROM added));
    IF current_setting('memory.restoring', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT
        FROM (SELECT user_id, min(created_at) AS said_at FROM added GROUP BY user_id) AS first
        JOIN memory_forgotten AS gone ON gone.owner = memory_owner(first.user_id)
        WHERE first.said_at <= gone.forgotten_at
    ) THEN
        RAISE EXCEPTION 'this was said before its owner was forgotten' USING ERRCODE = 'MF001';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER memory_outbox_taken BEFORE INSERT ON memory_outbox FOR EACH ROW EXECUTE FUNCTION memory_take_entry();
CREATE TRIGGER memory_entry_taken AFTER INSERT ON memory_entry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION memory_take_rows();
