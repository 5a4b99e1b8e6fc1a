-- States of long streams, folded once: a load begins at one and folds only what came after.
--
-- A snapshot is a convenience and never the truth: it belongs to one build's way of folding (`state_schema`), carries the digest of
-- its own text and the id of the last event that it is folded from, and whatever does not fit is ignored. The table can be emptied
-- at any time. Names of people are in states as they are in events: sealed where a master key is configured.
CREATE TABLE cmdiag.snapshots (
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    version        bigint      NOT NULL CHECK (version > 0),
    last_event     uuid        NOT NULL,
    state_schema   text        NOT NULL,
    state          text        NOT NULL,
    digest         bytea       NOT NULL,
    written_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (aggregate_type, aggregate_id)
) WITH (fillfactor = 80);
