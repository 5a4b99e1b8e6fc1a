-- The views: what queries read. Projectors alone write them, from the event log, and move their checkpoint in the same
-- transaction; any of these tables can be emptied and filled again from position 0.
--
-- Every row carries the position of the last event that changed it and the version of the projection that wrote it.
-- Lists are read by keyset (a sort key, then the id), so each has an index in exactly that order.

CREATE SCHEMA IF NOT EXISTS cmdiag;

-- How far each projection has come, and why it stands still where it does.
CREATE TABLE cmdiag.projection_checkpoints (
    name            text PRIMARY KEY,
    version         integer NOT NULL,
    position        bigint NOT NULL DEFAULT 0,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    -- The event that it can not take: it stays before it until an operator retries or skips.
    failed_position bigint,
    failure         text
) WITH (fillfactor = 50);

-- Events that an operator told a projection to pass over.
CREATE TABLE cmdiag.projection_skips (
    name       text NOT NULL,
    position   bigint NOT NULL,
    reason     text NOT NULL,
    actor      text NOT NULL,
    failure    text,
    skipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, position)
);

CREATE TABLE cmdiag.view_deployments (
    id                 uuid PRIMARY KEY,
    tenant             text NOT NULL,
    name               text NOT NULL,
    product_version    text NOT NULL,
    is_double          boolean NOT NULL,
    labels             jsonb NOT NULL,
    components         jsonb NOT NULL,
    overrides          jsonb NOT NULL,
    maintenance        jsonb NOT NULL,
    registered_at      timestamptz NOT NULL,
    retired_at         timestamptz,
    retire_reason      text,
    -- critical or warning: an open finding that is not muted says so; unknown: none does, and the last run measured
    -- nothing or there was none; ok: none does, and the last run measured something.
    health             text NOT NULL CHECK (health IN ('ok', 'warning', 'critical', 'unknown')),
    open_critical      integer NOT NULL,
    open_warning       integer NOT NULL,
    open_muted         integer NOT NULL,
    last_run_id        uuid,
    last_run_at        timestamptz,
    last_run_outcome   text,
    -- Checks of the last run that were measured (all but the unknown ones), and those that were not.
    last_run_measured  integer NOT NULL,
    last_run_unknown   integer NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX view_deployments_by_name ON cmdiag.view_deployments (name, id);
CREATE INDEX view_deployments_by_name_start ON cmdiag.view_deployments (lower(name) text_pattern_ops, id);

-- The deployments projection's own memory: its findings that are open, since a later event of a finding names neither
-- its deployment nor its severity. Also answers which mutes have run out since.
CREATE TABLE cmdiag.view_deployment_findings (
    finding_id         uuid PRIMARY KEY,
    deployment_id      uuid NOT NULL,
    severity           text NOT NULL,
    open               boolean NOT NULL,
    false_positive     boolean NOT NULL,
    muted_until        timestamptz,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX view_deployment_findings_muted ON cmdiag.view_deployment_findings (deployment_id, muted_until)
    WHERE open AND NOT false_positive AND muted_until IS NOT NULL;

CREATE TABLE cmdiag.view_runs (
    id                 uuid PRIMARY KEY,
    deployment_id      uuid NOT NULL,
    tenant             text NOT NULL,
    profile            text NOT NULL,
    status             text NOT NULL
        CHECK (status IN ('requested', 'planned', 'running', 'completed', 'cancelled', 'timed_out', 'failed')),
    priority           text NOT NULL,
    planned            integer NOT NULL,
    done               integer NOT NULL,
    -- Of a completed run only: a run that was cut short has no verdict.
    outcome            text,
    ok                 integer NOT NULL,
    warning            integer NOT NULL,
    critical           integer NOT NULL,
    unknown            integer NOT NULL,
    requested_by       text NOT NULL,
    requested_at       timestamptz NOT NULL,
    planned_at         timestamptz,
    started_at         timestamptz,
    ended_at           timestamptz,
    deadline           timestamptz NOT NULL,
    reason             text,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX view_runs_newest ON cmdiag.view_runs (requested_at DESC, id DESC);
CREATE INDEX view_runs_of_deployment ON cmdiag.view_runs (deployment_id, requested_at DESC, id DESC);
CREATE INDEX view_runs_under_way ON cmdiag.view_runs (requested_at DESC, id DESC)
    WHERE status IN ('requested', 'planned', 'running');

CREATE TABLE cmdiag.view_check_results (
    run_id             uuid NOT NULL,
    check_code         text NOT NULL,
    component          text NOT NULL,
    deployment_id      uuid NOT NULL,
    version            text NOT NULL,
    outcome            text NOT NULL,
    summary            text NOT NULL,
    unknown_cause      text,
    observations       jsonb NOT NULL,
    omitted            integer NOT NULL,
    metrics            jsonb NOT NULL,
    measured_at        timestamptz NOT NULL,
    duration_ms        integer NOT NULL,
    recorded_at        timestamptz NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL,
    PRIMARY KEY (run_id, check_code, component)
);
CREATE INDEX view_check_results_over_time
    ON cmdiag.view_check_results (deployment_id, check_code, component, measured_at DESC, run_id DESC);

CREATE TABLE cmdiag.view_findings (
    id                 uuid PRIMARY KEY,
    deployment_id      uuid NOT NULL,
    tenant             text NOT NULL,
    check_code         text NOT NULL,
    component          text NOT NULL,
    resource           text NOT NULL,
    status             text NOT NULL
        CHECK (status IN ('suspected', 'open', 'acknowledged', 'resolved', 'false_positive')),
    -- Where it stands, acknowledged or false positive or not: what it comes back to when such a mark is withdrawn.
    phase              text NOT NULL CHECK (phase IN ('suspected', 'open', 'resolved')),
    severity           text NOT NULL CHECK (severity IN ('warning', 'critical')),
    muted_until        timestamptz,
    mute_reason        text,
    flapping           boolean NOT NULL,
    occurrences        integer NOT NULL,
    regressions        integer NOT NULL,
    symptom            text NOT NULL,
    cause              text NOT NULL,
    impact             text NOT NULL,
    advice             text NOT NULL,
    evidence           jsonb NOT NULL,
    first_seen_at      timestamptz NOT NULL,
    last_seen_at       timestamptz NOT NULL,
    opened_at          timestamptz,
    resolved_at        timestamptz,
    acknowledged_by    text,
    acknowledged_at    timestamptz,
    last_run_id        uuid NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX view_findings_last_seen ON cmdiag.view_findings (last_seen_at DESC, id DESC);
CREATE INDEX view_findings_of_deployment ON cmdiag.view_findings (deployment_id, last_seen_at DESC, id DESC);
-- What people look at most: problems there are now, however many were resolved since.
CREATE INDEX view_findings_open ON cmdiag.view_findings (deployment_id, severity, last_seen_at DESC, id DESC)
    WHERE status IN ('open', 'acknowledged');

CREATE TABLE cmdiag.view_finding_history (
    finding_id         uuid NOT NULL,
    version            bigint NOT NULL,
    position           bigint NOT NULL,
    event_type         text NOT NULL,
    at                 timestamptz NOT NULL,
    actor              text NOT NULL,
    -- The run that saw it, where one did.
    run_id             uuid,
    detail             jsonb NOT NULL,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL,
    PRIMARY KEY (finding_id, version)
);
-- Which findings a run saw, also long after later runs have seen them again.
CREATE INDEX view_finding_history_of_run ON cmdiag.view_finding_history (run_id, finding_id) WHERE run_id IS NOT NULL;

-- Daily figures for analysts; the day is the UTC date of the event. `severity` is the outcome for results (ok, warning,
-- critical, unknown) and the finding's severity for findings. Detection runs from the first bad measurement to the
-- opening, resolution from the opening to the resolving.
CREATE TABLE cmdiag.view_daily_figures (
    day                 date NOT NULL,
    deployment_id       uuid NOT NULL,
    check_code          text NOT NULL,
    severity            text NOT NULL,
    results             bigint NOT NULL,
    findings_opened     bigint NOT NULL,
    findings_regressed  bigint NOT NULL,
    findings_resolved   bigint NOT NULL,
    duration_ms_sum     bigint NOT NULL,
    duration_ms_max     bigint NOT NULL,
    detect_seconds_sum  bigint NOT NULL,
    detect_count        bigint NOT NULL,
    resolve_seconds_sum bigint NOT NULL,
    resolve_count       bigint NOT NULL,
    last_position       bigint NOT NULL,
    projection_version  integer NOT NULL,
    PRIMARY KEY (day, deployment_id, check_code, severity)
) WITH (fillfactor = 80);
CREATE INDEX view_daily_figures_of_deployment
    ON cmdiag.view_daily_figures (deployment_id, day, check_code, severity);

-- The daily figures' own memory of findings, for the events that do not repeat what the finding is.
CREATE TABLE cmdiag.view_daily_findings (
    finding_id         uuid PRIMARY KEY,
    deployment_id      uuid NOT NULL,
    check_code         text NOT NULL,
    severity           text NOT NULL,
    open               boolean NOT NULL,
    suspected_at       timestamptz,
    last_position      bigint NOT NULL,
    projection_version integer NOT NULL
) WITH (fillfactor = 80);

-- A rebuild empties a view, and analysts read the views and nothing else.
DO $$
DECLARE
    view_name text;
BEGIN
    FOR view_name IN
        SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'cmdiag' AND tablename LIKE 'view\_%'
    LOOP
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_app') THEN
            EXECUTE format('GRANT TRUNCATE ON cmdiag.%I TO cmdiag_app', view_name);
        END IF;
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_reader') THEN
            EXECUTE format('GRANT SELECT ON cmdiag.%I TO cmdiag_reader', view_name);
        END IF;
    END LOOP;
END
$$;
