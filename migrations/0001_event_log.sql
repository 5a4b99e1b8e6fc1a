-- The event log and the command log.
--
-- `events` is the one place where facts are written. Its first seven columns and its key are those of postgres-es, so
-- that `PostgresEventRepository` reads and writes the same table; the columns beside them have defaults. `position`
-- is the dense total order (1, 2, 3 …, no gaps): writers give it explicitly, one after the end of the log as they
-- know it, and `events_position_key` is the arbiter between them (see docs/adr). `commands` keeps the outcome of
-- every command, so that a repeated one returns what happened the first time. Both tables are append-only: triggers
-- refuse UPDATE, DELETE and TRUNCATE to everybody, and `cmdiag_app` has no right to them in the first place. The
-- owner of the tables should be a role that the platform does not connect as.

CREATE SCHEMA IF NOT EXISTS cmdiag;

-- Roles belong to the whole cluster: another database's migration may have made them, or be making them just now.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['cmdiag_app', 'cmdiag_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE NOTICE 'role % can not be created by %: grants to it are skipped', role_name, current_user;
            END;
        END IF;
    END LOOP;
END
$$;

CREATE TABLE cmdiag.events (
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    sequence       bigint      NOT NULL CONSTRAINT events_sequence_check CHECK (sequence > 0),
    event_type     text        NOT NULL,
    event_version  text        NOT NULL,
    payload        json        NOT NULL,
    metadata       json        NOT NULL,
    position       bigint      NOT NULL CONSTRAINT events_position_check CHECK (position > 0),
    event_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    fillfactor = 100,
    -- Rows never change: freeze them on the first visit, and visit (for the visibility map) at a steady pace.
    autovacuum_freeze_min_age = 0,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0.02
);

-- The order of these two matters: indexes are checked in the order of their creation. A writer that has lost the race
-- for a position must find out before it has entered its streams, or two writers with a stream in common could wait
-- for each other.
ALTER TABLE cmdiag.events ADD CONSTRAINT events_position_key UNIQUE (position) WITH (fillfactor = 100);
ALTER TABLE cmdiag.events ADD CONSTRAINT events_pkey PRIMARY KEY (aggregate_type, aggregate_id, sequence);

CREATE TABLE cmdiag.commands (
    command_id      uuid        NOT NULL CONSTRAINT commands_pkey PRIMARY KEY,
    tenant          text        NOT NULL,
    actor           text        NOT NULL,
    name            text        NOT NULL,
    aggregate_type  text        NOT NULL,
    aggregate_id    text        NOT NULL,
    body_hash       bytea       NOT NULL CONSTRAINT commands_body_hash_check CHECK (octet_length(body_hash) = 32),
    outcome         text        NOT NULL CONSTRAINT commands_outcome_check CHECK (outcome IN ('accepted', 'refused')),
    first_position  bigint,
    last_position   bigint,
    stream_version  bigint,
    events          integer     NOT NULL,
    refusal_code    text,
    refusal_message text,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT commands_whole_check CHECK (
        CASE outcome
            WHEN 'accepted' THEN last_position IS NOT NULL AND stream_version IS NOT NULL AND refusal_code IS NULL
                AND (events = 0) = (first_position IS NULL)
            ELSE refusal_code IS NOT NULL AND refusal_message IS NOT NULL AND events = 0
        END
    )
) WITH (
    fillfactor = 100,
    autovacuum_freeze_min_age = 0,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0.02
);

-- lz4 packs large payloads several times faster than pglz; not every PostgreSQL is built with it (and 13 has no
-- choice).
DO $$
BEGIN
    EXECUTE 'ALTER TABLE cmdiag.events ALTER COLUMN payload SET COMPRESSION lz4';
EXCEPTION
    WHEN feature_not_supported OR syntax_error OR invalid_parameter_value THEN
        RAISE NOTICE 'payloads keep the default compression: %', SQLERRM;
END
$$;

-- The next free position, for as long as this transaction holds the log's lock. Each of our own optimistic writers
-- holds the lock shared within its statement, so whoever gets a position here is alone with it until its commit.
-- VOLATILE matters: only so does the query after the lock see what was committed while we waited for it.
CREATE FUNCTION cmdiag.next_position() RETURNS bigint
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(7164492985984811009); -- the same number as in event-store's statement.rs
    RETURN (SELECT coalesce(max(e.position), 0) + 1 FROM cmdiag.events AS e);
END
$$;

-- A writer that knows nothing of positions (postgres-es) gets them here, at the price of the lock.
ALTER TABLE cmdiag.events ALTER COLUMN position SET DEFAULT cmdiag.next_position();

CREATE FUNCTION cmdiag.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cmdiag.events
    FOR EACH STATEMENT EXECUTE FUNCTION cmdiag.refuse_change();
CREATE TRIGGER commands_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cmdiag.commands
    FOR EACH STATEMENT EXECUTE FUNCTION cmdiag.refuse_change();
-- ALWAYS: `session_replication_role = replica` does not switch them off.
ALTER TABLE cmdiag.events ENABLE ALWAYS TRIGGER events_append_only;
ALTER TABLE cmdiag.commands ENABLE ALWAYS TRIGGER commands_append_only;

REVOKE ALL ON cmdiag.events, cmdiag.commands FROM PUBLIC;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_app') THEN
        GRANT USAGE ON SCHEMA cmdiag TO cmdiag_app;
        GRANT SELECT, INSERT ON cmdiag.events, cmdiag.commands TO cmdiag_app;
        -- Tables made from here on are working tables and views of the platform.
        ALTER DEFAULT PRIVILEGES IN SCHEMA cmdiag GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO cmdiag_app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA cmdiag GRANT USAGE ON SEQUENCES TO cmdiag_app;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_reader') THEN
        GRANT USAGE ON SCHEMA cmdiag TO cmdiag_reader;
        GRANT SELECT ON cmdiag.events, cmdiag.commands TO cmdiag_reader;
    END IF;
END
$$;
