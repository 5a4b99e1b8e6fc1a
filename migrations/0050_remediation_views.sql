-- The views of remediations and policies. `state` is what the aggregate itself folds from its events, as JSON: what is
-- shown and what is decided can not differ. The columns beside it are those that lists are filtered and ordered by.

CREATE TABLE cmdiag.view_remediations (
    id                 uuid PRIMARY KEY,
    tenant             text NOT NULL,
    deployment_id      uuid NOT NULL,
    finding_id         uuid NOT NULL,
    check_code         text NOT NULL,
    component          text NOT NULL,
    resource           text NOT NULL,
    severity           text NOT NULL CHECK (severity IN ('warning', 'critical')),
    runbook            text,
    status             text NOT NULL,
    -- Nothing more happens by itself.
    at_rest            boolean NOT NULL,
    trigger            text NOT NULL,
    requested_by       text NOT NULL,
    requested_at       timestamptz NOT NULL,
    started_at         timestamptz,
    ended_at           timestamptz,
    steps              integer NOT NULL,
    steps_done         integer NOT NULL,
    reason             text,
    state              jsonb NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX view_remediations_newest ON cmdiag.view_remediations (requested_at DESC, id DESC);
CREATE INDEX view_remediations_of_deployment ON cmdiag.view_remediations (deployment_id, requested_at DESC, id DESC);
CREATE INDEX view_remediations_of_finding ON cmdiag.view_remediations (finding_id, requested_at DESC, id DESC);
CREATE INDEX view_remediations_open ON cmdiag.view_remediations (requested_at DESC, id DESC) WHERE NOT at_rest;

CREATE TABLE cmdiag.view_policies (
    id                 uuid PRIMARY KEY,
    tenant             text NOT NULL,
    name               text NOT NULL,
    definition         jsonb NOT NULL,
    revision           integer NOT NULL,
    retired_at         timestamptz,
    state              jsonb NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX view_policies_by_name ON cmdiag.view_policies (name, id);

-- The emergency stop of each tenant that ever had one.
CREATE TABLE cmdiag.view_emergency_stops (
    id                 uuid PRIMARY KEY,
    tenant             text NOT NULL,
    engaged            boolean NOT NULL,
    undo               boolean NOT NULL,
    reason             text NOT NULL,
    by_actor           text NOT NULL,
    since              timestamptz NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
);
