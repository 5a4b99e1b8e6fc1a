-- Which remediations are to be looked at, from when on, and who has them in hand: so that each is carried on by one process at a
-- time, and by another one after a crash.
--
-- The remediations themselves are in the event log; a row only says that there may be something to do. A row too many costs one
-- look, a row too few would leave a remediation lying: rows go only when it rests and has been settled with the policy, and only
-- if nothing has happened to it since it was looked at (wakes). Leases count by the database's clock; the epoch grows with each
-- claim and fences whoever had it before.
CREATE TABLE cmdiag.remediation_work (
    remediation_id uuid        PRIMARY KEY,
    tenant         text        NOT NULL,
    correlation_id uuid        NOT NULL,
    causation_id   uuid        NOT NULL, -- the event that last woke it
    traceparent    text,
    due            timestamptz NOT NULL, -- 'infinity' where it waits for people without end
    wakes          bigint      NOT NULL DEFAULT 1,
    leased_by      uuid,
    leased_until   timestamptz,
    epoch          bigint      NOT NULL DEFAULT 0,
    CHECK ((leased_by IS NULL) = (leased_until IS NULL))
);

-- What can be claimed, longest due first; and what its holder may have died over.
CREATE INDEX remediation_work_due ON cmdiag.remediation_work (due) WHERE leased_by IS NULL;
CREATE INDEX remediation_work_leases ON cmdiag.remediation_work (leased_until) WHERE leased_by IS NOT NULL;
-- The emergency stop wakes all of a tenant.
CREATE INDEX remediation_work_tenant ON cmdiag.remediation_work (tenant);
