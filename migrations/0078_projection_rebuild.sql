-- Filling views anew while they are served: tables beside the served ones, and the exchange.
--
-- A view that is filled anew has its tables, under the same names, in the schema `cmdiag_shadow`; after the exchange those that
-- were served before stand in `cmdiag_previous`, to go back to. Each of the two schemas has checkpoints of its own, of the same
-- shape as those of the served views: whoever puts the schema first on the search path projects into it without knowing.
--
-- Only an owner may make and move tables, and the running role owns none: so the functions here run as their owner. They take
-- nothing but tables of `cmdiag` whose names begin with `view_`.

CREATE SCHEMA cmdiag_shadow;
CREATE SCHEMA cmdiag_previous;

-- Which filling of the view is served: the exchange gives it another number, and a projector that remembers rows of the old one
-- can not write any more.
ALTER TABLE cmdiag.projection_checkpoints ADD COLUMN filling bigint NOT NULL DEFAULT 0;

CREATE SEQUENCE cmdiag.projection_fillings;

CREATE TABLE cmdiag_shadow.projection_checkpoints (LIKE cmdiag.projection_checkpoints INCLUDING ALL);
CREATE TABLE cmdiag_previous.projection_checkpoints (LIKE cmdiag.projection_checkpoints INCLUDING ALL);
-- Filled and indexed: it can be exchanged once it has caught up.
ALTER TABLE cmdiag_shadow.projection_checkpoints ADD COLUMN is_whole boolean NOT NULL DEFAULT false;
ALTER TABLE cmdiag_previous.projection_checkpoints ADD COLUMN is_whole boolean NOT NULL DEFAULT true;

-- Exchanges that are not on record in the log yet: a process that dies between the two leaves a row here, and the next command
-- about projections puts it on record.
CREATE TABLE cmdiag.projection_switches (
    id              uuid PRIMARY KEY,
    name            text NOT NULL,
    back            boolean NOT NULL,
    version         integer NOT NULL,
    position        bigint NOT NULL,
    before_version  integer NOT NULL,
    before_position bigint NOT NULL,
    actor           text NOT NULL,
    tenant          text NOT NULL,
    switched_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Refuses anything but views.
CREATE FUNCTION cmdiag.only_views(tables text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        IF name NOT LIKE 'view\_%' OR to_regclass(format('cmdiag.%I', name)) IS NULL THEN
            RAISE EXCEPTION '% is no view of the platform', name USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
END
$$;

-- The served tables with their partitions, parents first.
CREATE FUNCTION cmdiag.tables_of_view(in_schema text, tables text[])
    RETURNS TABLE (name text, relation oid, parent text, bound text, options text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE found (name, relation, parent, depth) AS (
        SELECT c.relname::text, c.oid, NULL::text COLLATE "C", 0
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = in_schema AND c.relname = ANY (tables) AND c.relkind IN ('r', 'p')
        UNION ALL
        SELECT c.relname::text, c.oid, found.name, depth + 1
        FROM found JOIN pg_inherits AS i ON i.inhparent = found.relation JOIN pg_class AS c ON c.oid = i.inhrelid
    )
    SELECT found.name, found.relation, found.parent, pg_get_expr(c.relpartbound, c.oid),
        coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '')
    FROM found JOIN pg_class AS c ON c.oid = found.relation
    ORDER BY depth, found.name
$$;

-- Makes empty tables beside the served ones, from their own definitions; the indexes that no constraint needs come later, when
-- the tables are filled.
CREATE FUNCTION cmdiag.make_shadow(view_name text, tables text[], view_version integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
    grant_of record;
BEGIN
    PERFORM cmdiag.only_views(tables);
    PERFORM cmdiag.drop_filling('cmdiag_shadow', view_name, tables);
    FOR one IN SELECT * FROM cmdiag.tables_of_view('cmdiag', tables) LOOP
        IF one.parent IS NULL THEN
            EXECUTE format('CREATE TABLE cmdiag_shadow.%I (LIKE cmdiag.%I INCLUDING ALL EXCLUDING INDEXES)%s%s', one.name,
                one.name, coalesce(' PARTITION BY ' || pg_get_partkeydef(one.relation), ''), one.options);
        ELSE
            EXECUTE format('CREATE TABLE cmdiag_shadow.%I PARTITION OF cmdiag_shadow.%I %s%s', one.name, one.parent,
                one.bound, one.options);
        END IF;
        FOR grant_of IN
            SELECT grantee, privilege_type FROM pg_class AS c, aclexplode(c.relacl)
            WHERE c.oid = one.relation AND grantee <> c.relowner
        LOOP
            EXECUTE format('GRANT %s ON cmdiag_shadow.%I TO %s', grant_of.privilege_type, one.name,
                CASE grant_of.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grant_of.grantee)) END);
        END LOOP;
    END LOOP;
    FOR one IN
        SELECT c.conname, t.name, pg_get_constraintdef(c.oid) AS definition
        FROM cmdiag.tables_of_view('cmdiag', tables) AS t JOIN pg_constraint AS c ON c.conrelid = t.relation
        WHERE t.parent IS NULL AND c.contype IN ('p', 'u')
        ORDER BY c.contype, c.conname
    LOOP
        EXECUTE format('ALTER TABLE cmdiag_shadow.%I ADD CONSTRAINT %I %s', one.name, one.conname, one.definition);
    END LOOP;
    INSERT INTO cmdiag_shadow.projection_checkpoints (name, version, filling)
    VALUES (view_name, view_version, nextval('cmdiag.projection_fillings'));
END
$$;

-- The indexes that no constraint needs, and the planner's statistics.
CREATE FUNCTION cmdiag.index_shadow(view_name text, tables text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    PERFORM cmdiag.only_views(tables);
    FOR one IN
        SELECT t.name, i.relname, pg_get_indexdef(i.oid) AS definition
        FROM cmdiag.tables_of_view('cmdiag', tables) AS t
            JOIN pg_index AS x ON x.indrelid = t.relation
            JOIN pg_class AS i ON i.oid = x.indexrelid
        WHERE t.parent IS NULL AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.oid)
            AND to_regclass(format('cmdiag_shadow.%I', i.relname)) IS NULL
        ORDER BY i.relname
    LOOP
        -- The index is made in the schema of its table, under the same name.
        EXECUTE regexp_replace(one.definition, format(' ON (ONLY )?cmdiag\.%I ', one.name),
            format(' ON cmdiag_shadow.%I ', one.name));
    END LOOP;
    FOR one IN SELECT name FROM cmdiag.tables_of_view('cmdiag_shadow', tables) WHERE parent IS NULL LOOP
        EXECUTE format('ANALYZE cmdiag_shadow.%I', one.name);
    END LOOP;
    UPDATE cmdiag_shadow.projection_checkpoints SET is_whole = true WHERE projection_checkpoints.name = view_name;
END
$$;

-- Removes a filling that is not served.
CREATE FUNCTION cmdiag.drop_filling(in_schema text, view_name text, tables text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    PERFORM cmdiag.only_views(tables);
    IF in_schema NOT IN ('cmdiag_shadow', 'cmdiag_previous') THEN
        RAISE EXCEPTION '% holds what is served', in_schema USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOREACH name IN ARRAY tables LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I.%I', in_schema, name);
    END LOOP;
    EXECUTE format('DELETE FROM %I.projection_checkpoints WHERE name = $1', in_schema) USING view_name;
END
$$;

-- Moves a view's tables from one schema to another.
CREATE FUNCTION cmdiag.move_view(from_schema text, to_schema text, tables text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT t.name FROM cmdiag.tables_of_view(from_schema, tables) AS t LOOP
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', from_schema, one.name, to_schema);
    END LOOP;
END
$$;

-- Serves another filling, in the caller's transaction: from the shadow, or (back) what was served before. What was served stands
-- in cmdiag_previous afterwards. SQL views that read the tables read the new ones from then on: a view names tables by their
-- identity, not by their name, so it is defined anew from its own text. The caller has made sure of the positions.
CREATE FUNCTION cmdiag.exchange_view(view_name text, tables text[], back boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    source text := CASE WHEN back THEN 'cmdiag_previous' ELSE 'cmdiag_shadow' END;
    definitions text[];
    definition text;
    served cmdiag.projection_checkpoints;
    chosen record;
BEGIN
    PERFORM cmdiag.only_views(tables);
    SELECT * INTO STRICT served FROM cmdiag.projection_checkpoints AS c WHERE c.name = view_name FOR UPDATE;
    EXECUTE format('SELECT version, position, is_whole FROM %I.projection_checkpoints WHERE name = $1 FOR UPDATE', source)
        INTO STRICT chosen USING view_name;
    IF NOT chosen.is_whole THEN
        RAISE EXCEPTION 'the filling of % is not whole', view_name USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT array_agg(DISTINCT format('CREATE OR REPLACE VIEW %I.%I%s AS %s', n.nspname, v.relname,
            coalesce(' WITH (' || array_to_string(v.reloptions, ', ') || ')', ''), pg_get_viewdef(v.oid)))
        INTO definitions
        FROM cmdiag.tables_of_view('cmdiag', tables) AS t
            JOIN pg_depend AS d ON d.refobjid = t.relation AND d.refclassid = 'pg_class'::regclass
                AND d.classid = 'pg_rewrite'::regclass
            JOIN pg_rewrite AS r ON r.oid = d.objid
            JOIN pg_class AS v ON v.oid = r.ev_class AND v.relkind = 'v'
            JOIN pg_namespace AS n ON n.oid = v.relnamespace;
    IF back THEN
        -- The two change places, by way of the shadow's schema, which must be free for that.
        PERFORM cmdiag.drop_filling('cmdiag_shadow', view_name, tables);
        PERFORM cmdiag.move_view('cmdiag', 'cmdiag_shadow', tables);
        PERFORM cmdiag.move_view('cmdiag_previous', 'cmdiag', tables);
        PERFORM cmdiag.move_view('cmdiag_shadow', 'cmdiag_previous', tables);
        DELETE FROM cmdiag_previous.projection_checkpoints AS c WHERE c.name = view_name;
    ELSE
        PERFORM cmdiag.drop_filling('cmdiag_previous', view_name, tables);
        PERFORM cmdiag.move_view('cmdiag', 'cmdiag_previous', tables);
        PERFORM cmdiag.move_view('cmdiag_shadow', 'cmdiag', tables);
        DELETE FROM cmdiag_shadow.projection_checkpoints AS c WHERE c.name = view_name;
    END IF;
    FOREACH definition IN ARRAY coalesce(definitions, '{}') LOOP
        EXECUTE definition;
    END LOOP;
    INSERT INTO cmdiag_previous.projection_checkpoints (name, version, position, filling, is_whole)
    VALUES (view_name, served.version, served.position, nextval('cmdiag.projection_fillings'), true);
    UPDATE cmdiag.projection_checkpoints AS c
    SET version = chosen.version, position = chosen.position, filling = nextval('cmdiag.projection_fillings'),
        updated_at = clock_timestamp(), failed_position = NULL, failure = NULL
    WHERE c.name = view_name;
END
$$;

REVOKE ALL ON FUNCTION cmdiag.only_views(text[]), cmdiag.tables_of_view(text, text[]),
    cmdiag.make_shadow(text, text[], integer), cmdiag.index_shadow(text, text[]), cmdiag.drop_filling(text, text, text[]),
    cmdiag.move_view(text, text, text[]), cmdiag.exchange_view(text, text[], boolean) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_app') THEN
        GRANT USAGE ON SCHEMA cmdiag_shadow, cmdiag_previous TO cmdiag_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON cmdiag_shadow.projection_checkpoints,
            cmdiag_previous.projection_checkpoints TO cmdiag_app;
        GRANT EXECUTE ON FUNCTION cmdiag.make_shadow(text, text[], integer), cmdiag.index_shadow(text, text[]),
            cmdiag.drop_filling(text, text, text[]), cmdiag.exchange_view(text, text[], boolean) TO cmdiag_app;
    END IF;
END
$$;
