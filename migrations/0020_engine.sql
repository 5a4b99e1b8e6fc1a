-- The engine's tables: the work of runs in flight, who works on it, evidence, and how far logs have been read.
--
-- What the work queue promises rests on this file: claimed work survives the claimer (leases that expire), is never
-- finished by one who lost it (the attempt is a fencing number), is taken up by age and priority without starvation
-- (one static rank, so that one index gives the order), and never exceeds a target's concurrency over all processes
-- (claims take one advisory lock, and count the slots of a target before they hand one out).

CREATE SCHEMA IF NOT EXISTS cmdiag;

-- Runs that are requested and have not ended: what an item of work must know of its run.
CREATE TABLE cmdiag.work_runs (
    run_id         uuid        PRIMARY KEY,
    deployment_id  uuid        NOT NULL,
    tenant         text        NOT NULL,
    priority       smallint    NOT NULL CHECK (priority BETWEEN 0 AND 2),
    deadline       timestamptz NOT NULL,
    correlation_id uuid        NOT NULL,
    causation_id   uuid,                    -- the event that asked for the run
    traceparent    text,
    started        boolean     NOT NULL DEFAULT false
);

-- One check of one component, waiting or leased. Finished work is deleted: its result is in the event log.
CREATE TABLE cmdiag.work_items (
    run_id        uuid             NOT NULL,
    check_code    text COLLATE "C" NOT NULL,
    component     text COLLATE "C" NOT NULL,
    deployment_id uuid             NOT NULL,
    version       text             NOT NULL,
    priority      smallint         NOT NULL CHECK (priority BETWEEN 0 AND 2),
    queued_at     timestamptz      NOT NULL,
    rank          timestamptz      NOT NULL, -- queued_at less the priority's head start: lower is sooner
    not_before    timestamptz      NOT NULL,
    deadline      timestamptz      NOT NULL,
    timeout_ms    integer          NOT NULL CHECK (timeout_ms > 0),
    attempt       integer          NOT NULL DEFAULT 0, -- counts claims; who finishes must name the last one
    crashes       integer          NOT NULL DEFAULT 0, -- counts leases that expired in somebody's hands
    leased_by     uuid,
    leased_until  timestamptz,
    slot          smallint,                            -- which of the target's concurrency slots it occupies
    PRIMARY KEY (run_id, check_code, component),
    CHECK ((leased_by IS NULL) = (leased_until IS NULL) AND (leased_by IS NULL) = (slot IS NULL))
);

-- The claim's first pass: waiting work in rank order; items of one run together, so that their results share a command.
CREATE INDEX work_items_by_rank ON cmdiag.work_items (rank, run_id) WHERE leased_until IS NULL;
-- The claim's second pass: hops from target to target, where the front of the queue is all of saturated targets.
CREATE INDEX work_items_by_target ON cmdiag.work_items (deployment_id, component, rank, run_id)
    WHERE leased_until IS NULL;
-- Expired leases, and which slots are occupied: reads only what is leased, however deep the queue.
CREATE INDEX work_items_leased ON cmdiag.work_items (leased_until) WHERE leased_until IS NOT NULL;
-- Finishing, extending, releasing and dropping a run go by the primary key.

-- Every item is inserted, updated and deleted within seconds: vacuum by count of dead rows, not by share of the table.
ALTER TABLE cmdiag.work_items SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000
);

-- Claims up to p_most items for a worker, in one round trip.
--
-- A target (deployment and component) has p_per_target slots over all processes. A slot belongs to one worker at a time
-- and may be given up to p_depth items, which that worker runs one after another: so quick checks need no round trip
-- each, and the limit holds all the same.
--
-- Claims are one after another (advisory lock, held to the end of the statement): only so can they count slots
-- without a row per target that all of them update. Nothing else takes this lock; finishing only ever frees slots.
--
-- Plans are made for each call (the table is empty one moment and deep the next: a cached plan of the empty table
-- would scan and sort the deep one), and only from the indexes above. Compiling such a plan would cost more than it saves.
CREATE FUNCTION cmdiag.claim_work(
    p_worker uuid, p_most integer, p_per_target integer, p_depth integer, p_now timestamptz, p_until timestamptz
) RETURNS TABLE (
    run_id uuid, check_code text, component text, deployment_id uuid, version text, priority smallint,
    queued_at timestamptz, rank timestamptz, deadline timestamptz, timeout_ms integer, attempt integer,
    crashes integer, slot smallint, tenant text, correlation_id uuid, causation_id uuid, traceparent text,
    started boolean
)
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $claim$
#variable_conflict use_column
DECLARE
    v_row   record;
    v_seen  bigint := 0;
    v_got   integer := 0;
    v_front integer := greatest(p_most * 4, 128); -- looks so far ahead for items of targets that have room
BEGIN
    PERFORM pg_advisory_xact_lock(1668114801, 20); -- 'cmdq' and this file's number

    -- Work of a worker that died: waiting again, and the death counted. From the second death on it comes back at a
    -- random moment, so that an item that kills its workers parts from those that were in the same hands. Rows that
    -- somebody finishes or extends at this very moment are left to him.
    UPDATE cmdiag.work_items w
       SET leased_by = NULL, leased_until = NULL, slot = NULL, crashes = w.crashes + 1,
           not_before = CASE w.crashes WHEN 0 THEN w.not_before ELSE p_now + random() * interval '3 s' END
      FROM (SELECT i.run_id, i.check_code, i.component FROM cmdiag.work_items i
             WHERE i.leased_until <= p_now FOR UPDATE SKIP LOCKED) dead
     WHERE (w.run_id, w.check_code, w.component) = (dead.run_id, dead.check_code, dead.component);

    FOR v_pass IN 1..2 LOOP
        FOR v_row IN
            WITH RECURSIVE targets AS (
                (SELECT i.deployment_id, i.component FROM cmdiag.work_items i
                  WHERE i.leased_until IS NULL AND v_pass = 2
                  ORDER BY i.deployment_id, i.component LIMIT 1)
                UNION ALL
                SELECT n.deployment_id, n.component
                  FROM targets t CROSS JOIN LATERAL (
                       SELECT i.deployment_id, i.component FROM cmdiag.work_items i
                        WHERE i.leased_until IS NULL
                          AND (i.deployment_id, i.component) > (t.deployment_id, t.component)
                        ORDER BY i.deployment_id, i.component LIMIT 1) n
            ),
            front AS MATERIALIZED (
                (SELECT i.run_id, i.check_code, i.component, i.deployment_id, i.rank
                   FROM cmdiag.work_items i
                  WHERE i.leased_until IS NULL AND i.not_before <= p_now AND i.deadline > p_now AND v_pass = 1
                  ORDER BY i.rank, i.run_id LIMIT v_front)
                UNION ALL
                SELECT c.run_id, c.check_code, t.component, t.deployment_id, c.rank
                  FROM targets t CROSS JOIN LATERAL (
                       SELECT i.run_id, i.check_code, i.rank FROM cmdiag.work_items i
                        WHERE i.leased_until IS NULL AND i.not_before <= p_now AND i.deadline > p_now
                          AND i.deployment_id = t.deployment_id AND i.component = t.component
                        ORDER BY i.rank, i.run_id
                        LIMIT greatest(p_per_target, p_most / (SELECT count(*) FROM targets))) c
                 WHERE v_pass = 2
            ),
            held AS MATERIALIZED (
                SELECT i.deployment_id, i.component, i.slot, bool_or(i.leased_by = p_worker) AS mine, count(*) AS items
                  FROM cmdiag.work_items i
                 WHERE i.leased_until IS NOT NULL
                 GROUP BY i.deployment_id, i.component, i.slot
            ),
            -- The slots that this worker may use, its emptiest first, and how many items it may still put into them.
            room AS MATERIALIZED (
                SELECT t.deployment_id, t.component,
                       array_agg(s.slot::smallint ORDER BY coalesce(h.items, 0), s.slot) AS slots,
                       count(*) * p_depth - sum(coalesce(h.items, 0)) AS items
                  FROM (SELECT DISTINCT f.deployment_id, f.component FROM front f) t
                 CROSS JOIN generate_series(1, p_per_target) s(slot)
                  LEFT JOIN held h ON h.deployment_id = t.deployment_id AND h.component = t.component
                                  AND h.slot = s.slot
                 WHERE h.slot IS NULL OR h.mine
                 GROUP BY t.deployment_id, t.component
            ),
            placed AS (
                SELECT f.run_id, f.check_code, f.component, f.rank, r.slots, r.items,
                       row_number() OVER (PARTITION BY f.deployment_id, f.component
                                          ORDER BY f.rank, f.run_id, f.check_code) AS place
                  FROM front f JOIN room r ON r.deployment_id = f.deployment_id AND r.component = f.component
            ),
            chosen AS MATERIALIZED (
                SELECT p.run_id, p.check_code, p.component,
                       p.slots[1 + (p.place - 1) % cardinality(p.slots)] AS slot
                  FROM placed p
                 WHERE p.place <= p.items
                 ORDER BY p.rank, p.run_id LIMIT p_most - v_got
            ),
            locked AS MATERIALIZED (
                SELECT i.run_id, i.check_code, i.component, c.slot
                  FROM chosen c JOIN cmdiag.work_items i
                    ON i.run_id = c.run_id AND i.check_code = c.check_code AND i.component = c.component
                 WHERE i.leased_until IS NULL
                   FOR UPDATE OF i SKIP LOCKED
            ),
            claimed AS (
                UPDATE cmdiag.work_items w
                   SET leased_by = p_worker, leased_until = p_until, slot = l.slot, attempt = w.attempt + 1
                  FROM locked l
                 WHERE w.run_id = l.run_id AND w.check_code = l.check_code AND w.component = l.component
                RETURNING w.*
            )
            SELECT (SELECT count(*) FROM front) AS seen, c.*,
                   r.tenant, r.correlation_id, r.causation_id, r.traceparent, r.started
              FROM (SELECT 1) one
              LEFT JOIN claimed c ON true
              LEFT JOIN cmdiag.work_runs r ON r.run_id = c.run_id
        LOOP
            v_seen := v_row.seen;
            CONTINUE WHEN v_row.run_id IS NULL;
            v_got := v_got + 1;
            run_id := v_row.run_id;
            check_code := v_row.check_code;
            component := v_row.component;
            deployment_id := v_row.deployment_id;
            version := v_row.version;
            priority := v_row.priority;
            queued_at := v_row.queued_at;
            rank := v_row.rank;
            deadline := v_row.deadline;
            timeout_ms := v_row.timeout_ms;
            attempt := v_row.attempt;
            crashes := v_row.crashes;
            slot := v_row.slot;
            tenant := v_row.tenant;
            correlation_id := v_row.correlation_id;
            causation_id := v_row.causation_id;
            traceparent := v_row.traceparent;
            started := v_row.started;
            RETURN NEXT;
        END LOOP;
        -- All that waits was looked at, or enough was found: no need to hop from target to target.
        EXIT WHEN v_got >= p_most OR v_seen < v_front;
    END LOOP;
END
$claim$;

-- How far the queue filler has read the event log: moved in the transaction that fills the queue.
CREATE TABLE cmdiag.engine_checkpoints (
    name       text        PRIMARY KEY,
    position   bigint      NOT NULL CHECK (position >= 0),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Named leases: one holder at a time; the epoch grows with each new holder and fences the old one.
CREATE TABLE cmdiag.leases (
    name   text        PRIMARY KEY,
    holder text        NOT NULL,
    until  timestamptz NOT NULL,
    epoch  bigint      NOT NULL DEFAULT 1
);

-- Measurements too large for an event, stored once by the SHA-256 (lower-case hex) of their bytes before compression.
CREATE TABLE cmdiag.evidence (
    hash       text COLLATE "C" PRIMARY KEY CHECK (hash ~ '^[0-9a-f]{64}$'),
    bytes      bytea            NOT NULL,
    raw_size   integer          NOT NULL CHECK (raw_size >= 0),
    media_type text             NOT NULL,
    created_at timestamptz      NOT NULL
);
-- Already compressed by us: the database must not try again.
ALTER TABLE cmdiag.evidence ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- How far a log probe has read, as the probe itself notes it.
CREATE TABLE cmdiag.log_offsets (
    deployment_id uuid        NOT NULL,
    component     text        NOT NULL,
    probe_key     text        NOT NULL,
    state         jsonb       NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (deployment_id, component, probe_key)
);
