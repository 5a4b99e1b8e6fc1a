-- What analysts read: views with stable names in a schema of their own, and a role that sees that schema and nothing
-- else. The tables behind them may change with each version; these names and columns only grow.
--
-- The views read with their owner's rights, so the role needs none on `cmdiag`. A view is bound to the tables that it
-- names when it is made: whoever puts another table in the place of one of them (a rebuild that switches by renaming,
-- partitioning) calls `cmdiag.define_analytics()` in the same transaction, after the renaming and before the old table
-- is dropped; grants and comments stay. Settings and secrets of components, and payloads of events, are not shown.

CREATE SCHEMA IF NOT EXISTS analytics;

-- What was refused is asked for by time (reports, analysts), is rare, and has no other index.
CREATE INDEX commands_refused ON cmdiag.commands (recorded_at) WHERE outcome = 'refused';

CREATE FUNCTION cmdiag.define_analytics() RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    CREATE OR REPLACE VIEW analytics.deployments AS
        SELECT d.id AS deployment_id, d.tenant, d.name, d.product_version, d.is_double, d.labels,
               jsonb_array_length(d.components) AS components, d.registered_at, d.retired_at, d.retire_reason,
               d.health, d.open_critical, d.open_warning, d.open_muted, d.last_run_id, d.last_run_at,
               d.last_run_outcome, d.last_run_measured, d.last_run_unknown, d.last_position
          FROM cmdiag.view_deployments d;

    CREATE OR REPLACE VIEW analytics.runs AS
        SELECT r.id AS run_id, r.deployment_id, r.tenant, r.profile, r.status, r.priority, r.planned, r.done, r.outcome,
               r.ok, r.warning, r.critical, r.unknown, r.requested_by, r.requested_at, r.planned_at, r.started_at,
               r.ended_at, r.deadline, r.reason, r.last_position
          FROM cmdiag.view_runs r;

    CREATE OR REPLACE VIEW analytics.check_results AS
        SELECT c.run_id, c.deployment_id, c.check_code, c.component, c.version AS check_version, c.outcome, c.summary,
               c.unknown_cause, jsonb_array_length(c.observations) AS problems, c.omitted AS problems_left_out,
               c.metrics, c.measured_at, c.duration_ms, c.recorded_at, c.last_position
          FROM cmdiag.view_check_results c;

    CREATE OR REPLACE VIEW analytics.problems AS
        SELECT c.run_id, c.deployment_id, c.check_code, c.component, o.value ->> 'resource' AS resource,
               o.value ->> 'outcome' AS severity, o.value ->> 'symptom' AS symptom, o.value ->> 'cause' AS cause,
               o.value ->> 'impact' AS impact, o.value ->> 'advice' AS advice, c.measured_at, c.last_position
          FROM cmdiag.view_check_results c CROSS JOIN LATERAL jsonb_array_elements(c.observations) o;

    CREATE OR REPLACE VIEW analytics.measurements AS
        SELECT c.run_id, c.deployment_id, c.check_code, c.component, m.key AS name,
               (m.value)::double precision AS value, c.measured_at, c.last_position
          FROM cmdiag.view_check_results c CROSS JOIN LATERAL jsonb_each_text(c.metrics) m;

    CREATE OR REPLACE VIEW analytics.findings AS
        SELECT f.id AS finding_id, f.deployment_id, f.tenant, f.check_code, f.component, f.resource, f.status, f.phase,
               f.severity, f.muted_until, f.mute_reason, f.flapping, f.occurrences, f.regressions, f.symptom, f.cause,
               f.impact, f.advice, f.first_seen_at, f.last_seen_at, f.opened_at, f.resolved_at, f.acknowledged_by,
               f.acknowledged_at, f.last_run_id, f.last_position
          FROM cmdiag.view_findings f;

    CREATE OR REPLACE VIEW analytics.finding_history AS
        SELECT h.finding_id, h.version, h.position, h.event_type, h.at, h.actor, h.run_id
          FROM cmdiag.view_finding_history h;

    CREATE OR REPLACE VIEW analytics.daily_figures AS
        SELECT g.day, g.deployment_id, g.check_code, g.severity, g.results, g.findings_opened, g.findings_regressed,
               g.findings_resolved, g.duration_ms_sum, g.duration_ms_max, g.detect_seconds_sum, g.detect_count,
               g.resolve_seconds_sum, g.resolve_count, g.last_position
          FROM cmdiag.view_daily_figures g;

    CREATE OR REPLACE VIEW analytics.remediations AS
        SELECT m.id AS remediation_id, m.tenant, m.deployment_id, m.finding_id, m.check_code, m.component, m.resource,
               m.severity, m.runbook, m.status, m.at_rest, m.trigger, m.requested_by, m.requested_at, m.started_at,
               m.ended_at, m.steps, m.steps_done, m.reason, m.state ->> 'executor' AS executed_by, m.last_position
          FROM cmdiag.view_remediations m;

    CREATE OR REPLACE VIEW analytics.approvals AS
        SELECT m.id AS remediation_id, m.deployment_id, m.finding_id, a.value ->> 'by' AS approved_by,
               a.value ->> 'on_behalf_of' AS on_behalf_of, a.value ->> 'comment' AS comment,
               (a.value ->> 'at')::timestamptz AS approved_at, m.last_position
          FROM cmdiag.view_remediations m CROSS JOIN LATERAL jsonb_array_elements(m.state -> 'approvals') a;

    CREATE OR REPLACE VIEW analytics.emergency_stops AS
        SELECT s.tenant, s.engaged, s.undo, s.reason, s.changed_by, s.changed_at, s.last_position
          FROM cmdiag.view_emergency_stops s;

    CREATE OR REPLACE VIEW analytics.commands AS
        SELECT c.command_id, c.tenant, c.actor, c.name, c.aggregate_type, c.aggregate_id, c.outcome::text AS outcome,
               c.events, c.first_position, c.last_position, c.refusal_code, c.refusal_message, c.recorded_at
          FROM cmdiag.commands c;

    CREATE OR REPLACE VIEW analytics.refused_commands AS
        SELECT c.command_id, c.tenant, c.actor, c.name, c.aggregate_type, c.aggregate_id, c.refusal_code,
               c.refusal_message, c.recorded_at
          FROM cmdiag.commands c
         WHERE c.outcome = 'refused';

    CREATE OR REPLACE VIEW analytics.events AS
        SELECT e.position, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
               e.event_id, e.metadata ->> 'actor' AS actor, e.metadata ->> 'tenant' AS tenant,
               e.metadata ->> 'command_id' AS command_id, e.metadata ->> 'correlation_id' AS correlation_id,
               e.metadata ->> 'causation_id' AS causation_id
          FROM cmdiag.events e;

    CREATE OR REPLACE VIEW analytics.event_counts AS
        SELECT (e.recorded_at AT TIME ZONE 'UTC')::date AS day, e.aggregate_type, e.event_type, e.event_version,
               count(*) AS events, min(e.position) AS first_position, max(e.position) AS last_position
          FROM cmdiag.events e
         GROUP BY 1, 2, 3, 4;
END
$$;
REVOKE ALL ON FUNCTION cmdiag.define_analytics() FROM PUBLIC;
SELECT cmdiag.define_analytics();

-- Roles belong to the whole cluster, as in 0001.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cmdiag_analyst') THEN
        BEGIN
            CREATE ROLE cmdiag_analyst NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role cmdiag_analyst can not be created by %: grants to it are skipped', current_user;
        END;
    END IF;
END
$$;

REVOKE ALL ON SCHEMA analytics FROM PUBLIC;
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['cmdiag_analyst', 'cmdiag_reader', 'cmdiag_app'] LOOP
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('GRANT USAGE ON SCHEMA analytics TO %I', role_name);
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO %I', role_name);
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT SELECT ON TABLES TO %I', role_name);
        END IF;
    END LOOP;
END
$$;

-- What each view and column is: `\d+` and every tool that reads the catalogue shows it.
COMMENT ON VIEW analytics.deployments IS 'A deployment under care, or formerly so, with its health';
COMMENT ON COLUMN analytics.deployments.deployment_id IS 'Its id';
COMMENT ON COLUMN analytics.deployments.tenant IS 'Whose data it is';
COMMENT ON COLUMN analytics.deployments.name IS 'Its name';
COMMENT ON COLUMN analytics.deployments.product_version IS 'The product''s version';
COMMENT ON COLUMN analytics.deployments.is_double IS 'Whether it is a double of a deployment, such as the lab';
COMMENT ON COLUMN analytics.deployments.labels IS 'Free labels';
COMMENT ON COLUMN analytics.deployments.components IS 'How many components it has';
COMMENT ON COLUMN analytics.deployments.registered_at IS 'When it came under care';
COMMENT ON COLUMN analytics.deployments.retired_at IS 'When the care ended';
COMMENT ON COLUMN analytics.deployments.retire_reason IS 'Why';
COMMENT ON COLUMN analytics.deployments.health IS 'ok, warning, critical or unknown, as of its last event';
COMMENT ON COLUMN analytics.deployments.open_critical IS 'Open critical findings that are not muted';
COMMENT ON COLUMN analytics.deployments.open_warning IS 'Open warnings that are not muted';
COMMENT ON COLUMN analytics.deployments.open_muted IS 'Open findings that are muted';
COMMENT ON COLUMN analytics.deployments.last_run_id IS 'The last run that ended';
COMMENT ON COLUMN analytics.deployments.last_run_at IS 'When it ended';
COMMENT ON COLUMN analytics.deployments.last_run_outcome IS 'Its verdict; none where it was cut short';
COMMENT ON COLUMN analytics.deployments.last_run_measured IS 'How many of its checks were measured';
COMMENT ON COLUMN analytics.deployments.last_run_unknown IS 'How many could not be';
COMMENT ON COLUMN analytics.deployments.last_position IS 'The event that changed it last';

COMMENT ON VIEW analytics.runs IS 'A run with its times and tally';
COMMENT ON COLUMN analytics.runs.run_id IS 'Its id';
COMMENT ON COLUMN analytics.runs.deployment_id IS 'What it looked at';
COMMENT ON COLUMN analytics.runs.tenant IS 'Whose data it is';
COMMENT ON COLUMN analytics.runs.profile IS 'Which checks, by name';
COMMENT ON COLUMN analytics.runs.status IS 'requested, planned, running, completed, cancelled, timed_out or failed';
COMMENT ON COLUMN analytics.runs.priority IS 'low, normal or high';
COMMENT ON COLUMN analytics.runs.planned IS 'How many checks it consists of';
COMMENT ON COLUMN analytics.runs.done IS 'How many of them have ended';
COMMENT ON COLUMN analytics.runs.outcome IS 'The verdict, of a completed run only';
COMMENT ON COLUMN analytics.runs.ok IS 'Checks that ended ok';
COMMENT ON COLUMN analytics.runs.warning IS 'Checks that ended with a warning';
COMMENT ON COLUMN analytics.runs.critical IS 'Checks that ended critical';
COMMENT ON COLUMN analytics.runs.unknown IS 'Checks that could not be measured';
COMMENT ON COLUMN analytics.runs.requested_by IS 'Who asked for it';
COMMENT ON COLUMN analytics.runs.requested_at IS 'When';
COMMENT ON COLUMN analytics.runs.planned_at IS 'When its checks were fixed';
COMMENT ON COLUMN analytics.runs.started_at IS 'When its first check was under way';
COMMENT ON COLUMN analytics.runs.ended_at IS 'When it ended';
COMMENT ON COLUMN analytics.runs.deadline IS 'When it times out';
COMMENT ON COLUMN analytics.runs.reason IS 'Why it was cancelled, timed out or failed';
COMMENT ON COLUMN analytics.runs.last_position IS 'The event that changed it last';

COMMENT ON VIEW analytics.check_results IS 'What one check of one component gave in one run';
COMMENT ON COLUMN analytics.check_results.run_id IS 'The run';
COMMENT ON COLUMN analytics.check_results.deployment_id IS 'The deployment';
COMMENT ON COLUMN analytics.check_results.check_code IS 'The check';
COMMENT ON COLUMN analytics.check_results.component IS 'The component that it looked at';
COMMENT ON COLUMN analytics.check_results.check_version IS 'The version of the check that judged';
COMMENT ON COLUMN analytics.check_results.outcome IS 'ok, warning, critical, or unknown: could not be measured';
COMMENT ON COLUMN analytics.check_results.summary IS 'One line';
COMMENT ON COLUMN analytics.check_results.unknown_cause IS 'Why it could not be measured';
COMMENT ON COLUMN analytics.check_results.problems IS 'How many problems it lists';
COMMENT ON COLUMN analytics.check_results.problems_left_out IS 'How many further ones it left out';
COMMENT ON COLUMN analytics.check_results.metrics IS 'Measured figures by name';
COMMENT ON COLUMN analytics.check_results.measured_at IS 'When the measurement began';
COMMENT ON COLUMN analytics.check_results.duration_ms IS 'How long measuring and judging took';
COMMENT ON COLUMN analytics.check_results.recorded_at IS 'When it was recorded';
COMMENT ON COLUMN analytics.check_results.last_position IS 'The event that recorded it';

COMMENT ON VIEW analytics.problems IS 'One problem that a check saw on one resource in one run';
COMMENT ON COLUMN analytics.problems.run_id IS 'The run';
COMMENT ON COLUMN analytics.problems.deployment_id IS 'The deployment';
COMMENT ON COLUMN analytics.problems.check_code IS 'The check';
COMMENT ON COLUMN analytics.problems.component IS 'The component that it looked at';
COMMENT ON COLUMN analytics.problems.resource IS 'What it is about';
COMMENT ON COLUMN analytics.problems.severity IS 'warning or critical';
COMMENT ON COLUMN analytics.problems.symptom IS 'What is seen';
COMMENT ON COLUMN analytics.problems.cause IS 'Why, as far as is known';
COMMENT ON COLUMN analytics.problems.impact IS 'What it means';
COMMENT ON COLUMN analytics.problems.advice IS 'What to do';
COMMENT ON COLUMN analytics.problems.measured_at IS 'When it was measured';
COMMENT ON COLUMN analytics.problems.last_position IS 'The event that recorded it';

COMMENT ON VIEW analytics.measurements IS 'One figure that a check measured in one run';
COMMENT ON COLUMN analytics.measurements.run_id IS 'The run';
COMMENT ON COLUMN analytics.measurements.deployment_id IS 'The deployment';
COMMENT ON COLUMN analytics.measurements.check_code IS 'The check';
COMMENT ON COLUMN analytics.measurements.component IS 'The component that it looked at';
COMMENT ON COLUMN analytics.measurements.name IS 'The figure''s name';
COMMENT ON COLUMN analytics.measurements.value IS 'Its value';
COMMENT ON COLUMN analytics.measurements.measured_at IS 'When it was measured';
COMMENT ON COLUMN analytics.measurements.last_position IS 'The event that recorded it';

COMMENT ON VIEW analytics.findings IS 'A finding as it is now';
COMMENT ON COLUMN analytics.findings.finding_id IS 'Its id, of its fingerprint: deployment, check and resource';
COMMENT ON COLUMN analytics.findings.deployment_id IS 'Where';
COMMENT ON COLUMN analytics.findings.tenant IS 'Whose data it is';
COMMENT ON COLUMN analytics.findings.check_code IS 'Which check found it';
COMMENT ON COLUMN analytics.findings.component IS 'Which component the check looked at';
COMMENT ON COLUMN analytics.findings.resource IS 'What it is about';
COMMENT ON COLUMN analytics.findings.status IS 'suspected, open, acknowledged, resolved or false_positive';
COMMENT ON COLUMN analytics.findings.phase IS 'suspected, open or resolved, acknowledged or false positive or not';
COMMENT ON COLUMN analytics.findings.severity IS 'warning or critical';
COMMENT ON COLUMN analytics.findings.muted_until IS 'It does not alert until then';
COMMENT ON COLUMN analytics.findings.mute_reason IS 'Why';
COMMENT ON COLUMN analytics.findings.flapping IS 'Whether it changes to and fro';
COMMENT ON COLUMN analytics.findings.occurrences IS 'How often it was seen bad since it first opened';
COMMENT ON COLUMN analytics.findings.regressions IS 'How often it came back';
COMMENT ON COLUMN analytics.findings.symptom IS 'What is seen';
COMMENT ON COLUMN analytics.findings.cause IS 'Why';
COMMENT ON COLUMN analytics.findings.impact IS 'What it means';
COMMENT ON COLUMN analytics.findings.advice IS 'What to do';
COMMENT ON COLUMN analytics.findings.first_seen_at IS 'When it was first measured';
COMMENT ON COLUMN analytics.findings.last_seen_at IS 'When it was last measured bad';
COMMENT ON COLUMN analytics.findings.opened_at IS 'When it (last) opened';
COMMENT ON COLUMN analytics.findings.resolved_at IS 'When it was resolved';
COMMENT ON COLUMN analytics.findings.acknowledged_by IS 'Who has taken it on';
COMMENT ON COLUMN analytics.findings.acknowledged_at IS 'When';
COMMENT ON COLUMN analytics.findings.last_run_id IS 'The run that last measured it';
COMMENT ON COLUMN analytics.findings.last_position IS 'The event that changed it last';

COMMENT ON VIEW analytics.finding_history IS 'One thing that happened to a finding';
COMMENT ON COLUMN analytics.finding_history.finding_id IS 'The finding';
COMMENT ON COLUMN analytics.finding_history.version IS 'Its place in the finding''s life, from 1';
COMMENT ON COLUMN analytics.finding_history.position IS 'Its place in the log';
COMMENT ON COLUMN analytics.finding_history.event_type IS 'What happened, such as FindingOpened';
COMMENT ON COLUMN analytics.finding_history.at IS 'When';
COMMENT ON COLUMN analytics.finding_history.actor IS 'Who';
COMMENT ON COLUMN analytics.finding_history.run_id IS 'The run that saw it, where one did';

COMMENT ON VIEW analytics.daily_figures IS 'A day (UTC), deployment, check and severity';
COMMENT ON COLUMN analytics.daily_figures.day IS 'The UTC date of the events';
COMMENT ON COLUMN analytics.daily_figures.deployment_id IS 'The deployment';
COMMENT ON COLUMN analytics.daily_figures.check_code IS 'The check';
COMMENT ON COLUMN analytics.daily_figures.severity IS 'Of results the outcome, of findings the severity';
COMMENT ON COLUMN analytics.daily_figures.results IS 'Results';
COMMENT ON COLUMN analytics.daily_figures.findings_opened IS 'Findings that opened';
COMMENT ON COLUMN analytics.daily_figures.findings_regressed IS 'Findings that came back';
COMMENT ON COLUMN analytics.daily_figures.findings_resolved IS 'Findings that were resolved';
COMMENT ON COLUMN analytics.daily_figures.duration_ms_sum IS 'Milliseconds that the results took, together';
COMMENT ON COLUMN analytics.daily_figures.duration_ms_max IS 'Milliseconds that the slowest took';
COMMENT ON COLUMN analytics.daily_figures.detect_seconds_sum IS 'Seconds from the first bad measurement to the opening, together';
COMMENT ON COLUMN analytics.daily_figures.detect_count IS 'Of how many findings';
COMMENT ON COLUMN analytics.daily_figures.resolve_seconds_sum IS 'Seconds from the opening to the resolving, together';
COMMENT ON COLUMN analytics.daily_figures.resolve_count IS 'Of how many findings';
COMMENT ON COLUMN analytics.daily_figures.last_position IS 'The event that changed it last';

COMMENT ON VIEW analytics.remediations IS 'A remediation as it is now';
COMMENT ON COLUMN analytics.remediations.remediation_id IS 'Its id';
COMMENT ON COLUMN analytics.remediations.tenant IS 'Whose data it is';
COMMENT ON COLUMN analytics.remediations.deployment_id IS 'Where';
COMMENT ON COLUMN analytics.remediations.finding_id IS 'What it puts right';
COMMENT ON COLUMN analytics.remediations.check_code IS 'The check that raised the finding';
COMMENT ON COLUMN analytics.remediations.component IS 'The component that the check looked at';
COMMENT ON COLUMN analytics.remediations.resource IS 'What the finding is about';
COMMENT ON COLUMN analytics.remediations.severity IS 'warning or critical';
COMMENT ON COLUMN analytics.remediations.runbook IS 'By which runbook';
COMMENT ON COLUMN analytics.remediations.status IS 'Where it is in its life, such as awaiting_approval or succeeded';
COMMENT ON COLUMN analytics.remediations.at_rest IS 'Whether nothing more happens by itself';
COMMENT ON COLUMN analytics.remediations.trigger IS 'person or policy';
COMMENT ON COLUMN analytics.remediations.requested_by IS 'Who asked for it';
COMMENT ON COLUMN analytics.remediations.requested_at IS 'When';
COMMENT ON COLUMN analytics.remediations.started_at IS 'When its first step could begin';
COMMENT ON COLUMN analytics.remediations.ended_at IS 'When it came to its end';
COMMENT ON COLUMN analytics.remediations.steps IS 'How many steps it has';
COMMENT ON COLUMN analytics.remediations.steps_done IS 'How many are done and verified';
COMMENT ON COLUMN analytics.remediations.reason IS 'Why it rests as it does';
COMMENT ON COLUMN analytics.remediations.executed_by IS 'Who had it done';
COMMENT ON COLUMN analytics.remediations.last_position IS 'The event that changed it last';

COMMENT ON VIEW analytics.approvals IS 'One person''s approval of what a remediation is bound to now';
COMMENT ON COLUMN analytics.approvals.remediation_id IS 'The remediation';
COMMENT ON COLUMN analytics.approvals.deployment_id IS 'Where';
COMMENT ON COLUMN analytics.approvals.finding_id IS 'What it puts right';
COMMENT ON COLUMN analytics.approvals.approved_by IS 'Who approved';
COMMENT ON COLUMN analytics.approvals.on_behalf_of IS 'Instead of whom';
COMMENT ON COLUMN analytics.approvals.comment IS 'In their words';
COMMENT ON COLUMN analytics.approvals.approved_at IS 'When';
COMMENT ON COLUMN analytics.approvals.last_position IS 'The event that changed it last';

COMMENT ON VIEW analytics.emergency_stops IS 'The emergency stop of each tenant that ever had one';
COMMENT ON COLUMN analytics.emergency_stops.tenant IS 'Whose';
COMMENT ON COLUMN analytics.emergency_stops.engaged IS 'Whether it is engaged';
COMMENT ON COLUMN analytics.emergency_stops.undo IS 'Whether what was done is taken back';
COMMENT ON COLUMN analytics.emergency_stops.reason IS 'Why';
COMMENT ON COLUMN analytics.emergency_stops.changed_by IS 'Who changed it last';
COMMENT ON COLUMN analytics.emergency_stops.changed_at IS 'When';
COMMENT ON COLUMN analytics.emergency_stops.last_position IS 'The event that changed it last';

COMMENT ON VIEW analytics.commands IS 'A command and how it ended, the refused ones among them';
COMMENT ON COLUMN analytics.commands.command_id IS 'Its id';
COMMENT ON COLUMN analytics.commands.tenant IS 'Whose data it is';
COMMENT ON COLUMN analytics.commands.actor IS 'Who asked';
COMMENT ON COLUMN analytics.commands.name IS 'What was asked, such as request_run';
COMMENT ON COLUMN analytics.commands.aggregate_type IS 'The type of what it was asked of';
COMMENT ON COLUMN analytics.commands.aggregate_id IS 'The id of what it was asked of';
COMMENT ON COLUMN analytics.commands.outcome IS 'accepted or refused';
COMMENT ON COLUMN analytics.commands.events IS 'How many events it caused';
COMMENT ON COLUMN analytics.commands.first_position IS 'The first of them';
COMMENT ON COLUMN analytics.commands.last_position IS 'The last of them; of a command that caused none, the end of the log then';
COMMENT ON COLUMN analytics.commands.refusal_code IS 'The refusal''s stable code';
COMMENT ON COLUMN analytics.commands.refusal_message IS 'The refusal in words';
COMMENT ON COLUMN analytics.commands.recorded_at IS 'When it was recorded';

COMMENT ON VIEW analytics.refused_commands IS 'A command that was refused; has an index by time';
COMMENT ON COLUMN analytics.refused_commands.command_id IS 'Its id';
COMMENT ON COLUMN analytics.refused_commands.tenant IS 'Whose data it is';
COMMENT ON COLUMN analytics.refused_commands.actor IS 'Who asked';
COMMENT ON COLUMN analytics.refused_commands.name IS 'What was asked, such as request_run';
COMMENT ON COLUMN analytics.refused_commands.aggregate_type IS 'The type of what it was asked of';
COMMENT ON COLUMN analytics.refused_commands.aggregate_id IS 'The id of what it was asked of';
COMMENT ON COLUMN analytics.refused_commands.refusal_code IS 'The refusal''s stable code';
COMMENT ON COLUMN analytics.refused_commands.refusal_message IS 'The refusal in words';
COMMENT ON COLUMN analytics.refused_commands.recorded_at IS 'When it was recorded';

COMMENT ON VIEW analytics.events IS 'An event without its payload; ask by position';
COMMENT ON COLUMN analytics.events.position IS 'Its place in the log, dense from 1';
COMMENT ON COLUMN analytics.events.recorded_at IS 'When it was recorded';
COMMENT ON COLUMN analytics.events.aggregate_type IS 'The type of its aggregate';
COMMENT ON COLUMN analytics.events.aggregate_id IS 'The id of its aggregate';
COMMENT ON COLUMN analytics.events.sequence IS 'Its place in its stream, from 1';
COMMENT ON COLUMN analytics.events.event_type IS 'Its type as stored';
COMMENT ON COLUMN analytics.events.event_version IS 'Its version as stored';
COMMENT ON COLUMN analytics.events.event_id IS 'Its own id';
COMMENT ON COLUMN analytics.events.actor IS 'Who asked, as stored';
COMMENT ON COLUMN analytics.events.tenant IS 'Whose data it is';
COMMENT ON COLUMN analytics.events.command_id IS 'The command that caused it';
COMMENT ON COLUMN analytics.events.correlation_id IS 'Ties together all that one request caused';
COMMENT ON COLUMN analytics.events.causation_id IS 'The event that the command reacted to';

COMMENT ON VIEW analytics.event_counts IS 'How many events of a type were recorded on a day (UTC); reads the whole log';
COMMENT ON COLUMN analytics.event_counts.day IS 'The UTC date on which they were recorded';
COMMENT ON COLUMN analytics.event_counts.aggregate_type IS 'The type of their aggregate';
COMMENT ON COLUMN analytics.event_counts.event_type IS 'Their type as stored';
COMMENT ON COLUMN analytics.event_counts.event_version IS 'Their version as stored';
COMMENT ON COLUMN analytics.event_counts.events IS 'How many';
COMMENT ON COLUMN analytics.event_counts.first_position IS 'The first of them';
COMMENT ON COLUMN analytics.event_counts.last_position IS 'The last of them';
