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
    -- NULL: the built-in one decides under this name.
    definition         jsonb,
    revision           integer NOT NULL,
    changed_by         text,
    changed_at         timestamptz,
    -- What is reserved now: remediation, deployment, since when, how much of what.
    reservations       jsonb NOT NULL,
    -- The circuit breakers that are open, until when, and after how many failures.
    breakers           jsonb NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX view_policies_by_name ON cmdiag.view_policies (name, id);

-- What has been learned of runbooks, one row for each of a policy's runbooks, checks and their versions.
CREATE TABLE cmdiag.view_policy_statistics (
    id                 uuid PRIMARY KEY,
    policy_id          uuid NOT NULL,
    tenant             text NOT NULL,
    runbook            text NOT NULL,
    runbook_version    text NOT NULL,
    check_code         text NOT NULL,
    check_version      text NOT NULL,
    successes          integer NOT NULL,
    failures           integer NOT NULL,
    -- Whether it may run by itself, as far as success goes; NULL: no rule ever asked.
    automatic          boolean,
    lower_bound        double precision,
    reason             text,
    changed_at         timestamptz NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX view_policy_statistics_of_policy ON cmdiag.view_policy_statistics (policy_id, runbook, check_code, id);

-- The emergency stop of each tenant that ever had one.
CREATE TABLE cmdiag.view_emergency_stops (
    id                 uuid PRIMARY KEY,
    tenant             text NOT NULL,
    engaged            boolean NOT NULL,
    undo               boolean NOT NULL,
    reason             text NOT NULL,
    changed_by         text NOT NULL,
    changed_at         timestamptz NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
);
