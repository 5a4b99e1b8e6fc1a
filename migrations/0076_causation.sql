-- What caused what, to be asked from either end.
--
-- Every event carries the event that its command answered, in its metadata: JSON text that no index of the log's reads,
-- and none should, for the append would pay for it. So a projection follows the log and keeps three numbers an event:
-- which event stands at which position, and what it answered. All else is read from the log itself.
--
-- A command without events has no metadata in the log: what it was part of is kept with it in the command log, and
-- only there. Commands with events keep NULL: two bits in the row's header, and no entry in the index.

ALTER TABLE cmdiag.commands ADD COLUMN correlation_id uuid, ADD COLUMN causation_id uuid;
CREATE INDEX commands_of_cause ON cmdiag.commands (causation_id) WHERE causation_id IS NOT NULL;

CREATE TABLE cmdiag.view_causation (
    event_id           uuid NOT NULL,
    -- The event that its command answered; NULL where somebody outside asked.
    causation_id       uuid,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL,
    -- Nothing in the log promises that an event's id is its alone.
    PRIMARY KEY (event_id, last_position)
) WITH (fillfactor = 100);
CREATE INDEX view_causation_of_cause ON cmdiag.view_causation (causation_id, last_position)
    WHERE causation_id IS NOT NULL;

-- A rebuild empties the view, nothing changes a row; analysts read it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_app') THEN
        REVOKE UPDATE ON cmdiag.view_causation FROM cmdiag_app;
        GRANT TRUNCATE ON cmdiag.view_causation TO cmdiag_app;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_reader') THEN
        GRANT SELECT ON cmdiag.view_causation TO cmdiag_reader;
    END IF;
END
$$;
