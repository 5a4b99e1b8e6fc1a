-- Who may do what, settled once for all tables, those of later migrations included.
--
-- `cmdiag_app` is what the platform runs as: it must read the list of migrations (it refuses to start where one is
-- missing), must empty a view that it rebuilds (the views of remediations lacked that), and must not be able to change or
-- delete a row of an append-only table, whatever the default privileges gave it. `cmdiag_reader` is for auditors and
-- analysts: the log, its seals, and the views. Called after every migration (migrations::migrate), since tables come.

CREATE FUNCTION cmdiag.settle_grants() RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    found record;
    has_app    boolean := EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_app');
    has_reader boolean := EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_reader');
BEGIN
    FOR found IN
        SELECT c.relname AS name,
               c.relname LIKE 'view\_%' AS is_view,
               EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
                       WHERE t.tgrelid = c.oid AND t.tgfoid = 'cmdiag.refuse_change()'::regprocedure) AS is_append_only
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'cmdiag'::regnamespace AND c.relkind IN ('r', 'p')
    LOOP
        IF found.is_append_only THEN
            EXECUTE format('REVOKE ALL ON cmdiag.%I FROM PUBLIC', found.name);
            IF has_app THEN
                EXECUTE format('REVOKE ALL ON cmdiag.%I FROM cmdiag_app', found.name);
                EXECUTE format('GRANT SELECT, INSERT ON cmdiag.%I TO cmdiag_app', found.name);
            END IF;
            IF has_reader THEN
                EXECUTE format('GRANT SELECT ON cmdiag.%I TO cmdiag_reader', found.name);
            END IF;
        ELSIF found.is_view THEN
            IF has_app THEN
                EXECUTE format('GRANT TRUNCATE ON cmdiag.%I TO cmdiag_app', found.name);
            END IF;
            IF has_reader THEN
                EXECUTE format('GRANT SELECT ON cmdiag.%I TO cmdiag_reader', found.name);
            END IF;
        END IF;
    END LOOP;
    IF to_regclass('cmdiag._sqlx_migrations') IS NOT NULL THEN
        IF has_app THEN
            REVOKE ALL ON cmdiag._sqlx_migrations FROM cmdiag_app;
            GRANT SELECT ON cmdiag._sqlx_migrations TO cmdiag_app;
        END IF;
        IF has_reader THEN
            GRANT SELECT ON cmdiag._sqlx_migrations TO cmdiag_reader;
        END IF;
    END IF;
END
$$;

-- It changes grants, which only owners can; nobody else has a use for it.
REVOKE ALL ON FUNCTION cmdiag.settle_grants() FROM PUBLIC;
SELECT cmdiag.settle_grants();
