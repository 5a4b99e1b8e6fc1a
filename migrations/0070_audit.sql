-- Seals: what was recorded can be shown to be there, unchanged, whole and in order (see docs/adr/0011).
--
-- A sealer follows the log and writes, one row a batch, the leaf of each event in the one Merkle tree (RFC 9162) and its
-- link in its stream's hash chain; the row's last position is the sealer's checkpoint, so both move in one transaction.
-- Nodes of the tree are kept at every eighth level (one row for 256 of the level below): a proof needs few of them.
-- Checkpoints are the signed notes themselves. All of it is append-only like the log; only how far checkpoints were
-- published is a working table.

-- The log's name, in every checkpoint: it tells apart the logs of two installations.
CREATE TABLE cmdiag.audit_log (
    one     boolean     PRIMARY KEY DEFAULT true CONSTRAINT audit_log_one_check CHECK (one),
    log_id  uuid        NOT NULL DEFAULT gen_random_uuid(),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO cmdiag.audit_log DEFAULT VALUES;

-- `leaves` and `chains` hold 32 bytes for each position from the first to the last.
CREATE TABLE cmdiag.audit_seals (
    first_position bigint      NOT NULL CONSTRAINT audit_seals_pkey PRIMARY KEY,
    last_position  bigint      NOT NULL,
    leaves         bytea       NOT NULL,
    chains         bytea       NOT NULL,
    sealed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT audit_seals_whole_check CHECK (
        last_position >= first_position
        AND octet_length(leaves) = 32 * (last_position - first_position + 1)
        AND octet_length(chains) = octet_length(leaves)
    )
) WITH (
    fillfactor = 100,
    autovacuum_freeze_min_age = 0,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0.02
);
-- Hashes can not be compressed, and are read in slices.
ALTER TABLE cmdiag.audit_seals ALTER COLUMN leaves SET STORAGE EXTERNAL, ALTER COLUMN chains SET STORAGE EXTERNAL;

CREATE TABLE cmdiag.audit_nodes (
    level smallint      NOT NULL CONSTRAINT audit_nodes_level_check CHECK (level > 0 AND level % 8 = 0),
    index bigint        NOT NULL,
    hash  cmdiag.sha256 NOT NULL,
    CONSTRAINT audit_nodes_pkey PRIMARY KEY (level, index)
) WITH (fillfactor = 100, autovacuum_freeze_min_age = 0);

CREATE TABLE cmdiag.audit_checkpoints (
    number    bigint        NOT NULL CONSTRAINT audit_checkpoints_pkey PRIMARY KEY,
    tree_size bigint        NOT NULL CONSTRAINT audit_checkpoints_tree_size_key UNIQUE,
    root      cmdiag.sha256 NOT NULL,
    head_at   timestamptz   NOT NULL,
    signed_at timestamptz   NOT NULL,
    key_id    text          NOT NULL,
    note      text          NOT NULL
) WITH (fillfactor = 100, autovacuum_freeze_min_age = 0);

-- How far the checkpoints were published, by place.
CREATE TABLE cmdiag.audit_publications (
    sink         text        PRIMARY KEY,
    number       bigint      NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['audit_log', 'audit_seals', 'audit_nodes', 'audit_checkpoints'] LOOP
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON cmdiag.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION cmdiag.refuse_change()', table_name || '_append_only', table_name);
        EXECUTE format('ALTER TABLE cmdiag.%I ENABLE ALWAYS TRIGGER %I', table_name, table_name || '_append_only');
    END LOOP;
END
$$;
