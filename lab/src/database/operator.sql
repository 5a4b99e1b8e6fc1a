-- $tables owns the tables and never logs in; $owner is the product; $operator remedies; $monitor looks.
BEGIN;
CREATE TABLE IF NOT EXISTS double_document_flag (
    store bigint NOT NULL, resid text NOT NULL, flag text NOT NULL, PRIMARY KEY (store, resid)
);
DO $$
DECLARE one record;
BEGIN
    FOR one IN SELECT c.oid, CAST(c.oid AS regclass) AS name FROM pg_class c
               WHERE c.relnamespace = CAST('public' AS regnamespace) AND c.relkind = 'r'
                 AND c.relowner <> CAST('$tables' AS regrole)
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO $tables', one.name);
        EXECUTE format('GRANT ALL ON %s TO $owner', one.name);
        EXECUTE format('GRANT SELECT ON %s TO $monitor', one.name);
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON %s FROM $tables', one.name);
    END LOOP;
    FOR one IN SELECT CAST(c.oid AS regclass) AS name FROM pg_class c
               WHERE c.relnamespace = CAST('public' AS regnamespace) AND c.relkind = 'S'
    LOOP
        EXECUTE format('GRANT ALL ON %s TO $owner', one.name);
    END LOOP;
END $$;
-- Making an index asks for this on its schema.
GRANT CREATE, USAGE ON SCHEMA public TO $tables;
GRANT UPDATE (reindexstatus, rehash) ON tsrecelec TO $operator;
GRANT UPDATE (rcrecalcdate) ON tsrecord TO $operator;
GRANT UPDATE (esitems, esbytes) ON tselecstor TO $operator;
GRANT UPDATE (rqstatus, rqerror, rqqueued) ON tsrendqueu TO $operator;
GRANT UPDATE (lclogindisabled) ON tslocation TO $operator;
GRANT INSERT, DELETE ON tstxtidx, double_document_flag TO $operator;
GRANT EXECUTE ON FUNCTION pg_reload_conf() TO $operator;

-- What the product does when a login is disabled or enabled: its seat is free, or taken.
CREATE OR REPLACE FUNCTION double_count_seats() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE double_licence SET used = used + CASE WHEN NEW.lclogindisabled THEN -1 ELSE 1 END
    WHERE module = CASE NEW.lcusertype WHEN 'Administrator' THEN 'Administrators (double)' ELSE 'Core users (double)' END;
    RETURN NULL;
END $$;
ALTER FUNCTION double_count_seats() OWNER TO $owner;
DROP TRIGGER IF EXISTS double_count_seats ON tslocation;
CREATE TRIGGER double_count_seats AFTER UPDATE OF lclogindisabled ON tslocation FOR EACH ROW
    WHEN (OLD.lclogindisabled IS DISTINCT FROM NEW.lclogindisabled AND NEW.lclogin IS NOT NULL)
    EXECUTE FUNCTION double_count_seats();

-- An owner of tables may do more than the operator is to do: all of that is refused here.
CREATE OR REPLACE FUNCTION double_operator_guard() RETURNS event_trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF session_user = '$operator'
       AND tg_tag NOT IN ('CREATE INDEX', 'DROP INDEX', 'REINDEX', 'ALTER SEQUENCE', 'COMMENT') THEN
        RAISE EXCEPTION 'role % may not %', session_user, tg_tag USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;
DROP EVENT TRIGGER IF EXISTS double_operator_guard;
CREATE EVENT TRIGGER double_operator_guard ON ddl_command_start EXECUTE FUNCTION double_operator_guard();
COMMIT;
