-- What the process managers remember: how far each has answered the log, who of all processes is the active one, and the
-- little that each keeps of what it has read, so that a restart reads the log from its checkpoint and not from its start.
--
-- A checkpoint and the rows that belong to it move in one transaction, which first makes sure that the lease is still held
-- with the same epoch: who lost it can send commands twice (their ids follow from the event: nothing happens twice), but can
-- not move the checkpoint.

CREATE TABLE cmdiag.process_checkpoints (
    name       text        PRIMARY KEY,
    position   bigint      NOT NULL CHECK (position >= 0),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One holder at a time by the database's clock; the epoch grows with each new holder and fences the old one.
CREATE TABLE cmdiag.process_leases (
    name   text        PRIMARY KEY,
    holder text        NOT NULL,
    until  timestamptz NOT NULL,
    epoch  bigint      NOT NULL CHECK (epoch > 0)
);

-- Findings that may be unresolved, by what a check must measure to see them gone. A row too many costs one command that
-- changes nothing; a row too few would leave a finding open for ever, so rows go only when the finding is known to be gone.
CREATE TABLE cmdiag.process_open_findings (
    finding_id    uuid    PRIMARY KEY,
    deployment_id uuid    NOT NULL,
    check_code    text    NOT NULL,
    component     text    NOT NULL,
    resource      text    NOT NULL,
    -- Marked as a false positive: good measurements are of no use to it.
    paused        boolean NOT NULL
);

-- Runs that have not ended, by when they must have.
CREATE TABLE cmdiag.process_open_runs (
    run_id         uuid        PRIMARY KEY,
    deadline       timestamptz NOT NULL,
    requested_by   uuid        NOT NULL, -- the event that asked for it
    tenant         text        NOT NULL,
    correlation_id uuid        NOT NULL,
    traceparent    text
);
