-- The keys of personal data (see docs/adr/0012).
--
-- Events never change; what makes a person in them unreadable is that their key is destroyed. This table is the only
-- place that ever holds a subject's key (wrapped by the master key, which the database does not know), and what finds
-- the subject by name. The running role may add subjects and forget them, nothing else: a trigger lets an UPDATE do one
-- thing only, which is to null both at once. Small and hot for updates, so that a forgotten row's old version is pruned
-- and vacuumed soon; copies of it live on in backups and archived WAL for as long as those are kept.

CREATE TABLE cmdiag.subjects (
    subject_id  uuid        NOT NULL CONSTRAINT subjects_pkey PRIMARY KEY,
    tenant      text        NOT NULL,
    lookup      bytea,      -- HMAC of the personal text under the master key
    wrapped_key bytea,
    fingerprint cmdiag.sha256 NOT NULL, -- of the key: proof of which one was destroyed
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_at   timestamptz,
    CONSTRAINT subjects_erased_check CHECK (
        (lookup IS NULL) = (erased_at IS NOT NULL) AND (wrapped_key IS NULL) = (erased_at IS NOT NULL)
    )
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_threshold = 0,
    autovacuum_vacuum_scale_factor = 0
);
CREATE UNIQUE INDEX subjects_lookup_key ON cmdiag.subjects (tenant, lookup) WHERE lookup IS NOT NULL;
CREATE INDEX subjects_by_tenant ON cmdiag.subjects (tenant, created_at, subject_id);

-- Which master key wraps them: one row, once names are sealed.
CREATE TABLE cmdiag.vault (
    only_one    boolean     NOT NULL DEFAULT true CONSTRAINT vault_pkey PRIMARY KEY CONSTRAINT vault_one CHECK (only_one),
    fingerprint cmdiag.sha256 NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What was recorded up to here may hold names openly.
    since_position bigint   NOT NULL
);

CREATE FUNCTION cmdiag.only_forget() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF OLD.wrapped_key IS NOT NULL AND NEW.wrapped_key IS NULL AND NEW.lookup IS NULL AND NEW.erased_at IS NOT NULL
        AND NEW.subject_id = OLD.subject_id AND NEW.tenant = OLD.tenant AND NEW.fingerprint = OLD.fingerprint
        AND NEW.created_at = OLD.created_at
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a subject can only be forgotten: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Not `refuse_change`: that one marks what is append-only, and what everybody may read (0071).
CREATE FUNCTION cmdiag.refuse_loss() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '%.% is kept: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER subjects_only_forget BEFORE UPDATE ON cmdiag.subjects
    FOR EACH ROW EXECUTE FUNCTION cmdiag.only_forget();
CREATE TRIGGER subjects_stay BEFORE DELETE OR TRUNCATE ON cmdiag.subjects
    FOR EACH STATEMENT EXECUTE FUNCTION cmdiag.refuse_loss();
CREATE TRIGGER vault_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON cmdiag.vault
    FOR EACH STATEMENT EXECUTE FUNCTION cmdiag.refuse_loss();
ALTER TABLE cmdiag.subjects ENABLE ALWAYS TRIGGER subjects_only_forget;
ALTER TABLE cmdiag.subjects ENABLE ALWAYS TRIGGER subjects_stay;
ALTER TABLE cmdiag.vault ENABLE ALWAYS TRIGGER vault_stays;

REVOKE ALL ON cmdiag.subjects, cmdiag.vault FROM PUBLIC;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_app') THEN
        REVOKE ALL ON cmdiag.subjects, cmdiag.vault FROM cmdiag_app;
        GRANT SELECT, INSERT ON cmdiag.subjects, cmdiag.vault TO cmdiag_app;
        GRANT UPDATE (lookup, wrapped_key, erased_at) ON cmdiag.subjects TO cmdiag_app;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_reader') THEN
        REVOKE ALL ON cmdiag.subjects, cmdiag.vault FROM cmdiag_reader;
        GRANT SELECT (subject_id, tenant, fingerprint, created_at, erased_at) ON cmdiag.subjects TO cmdiag_reader;
    END IF;
END
$$;
