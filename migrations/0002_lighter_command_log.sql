-- The command log's constraints, in a form that a single append can afford.
--
-- PostgreSQL reads a table's CHECK constraints from their text anew in every statement that inserts: the three of
-- `commands` were a fifth of the time that the writer's smallest statement took. Constraints of a domain are read once
-- a session, and refuse the same. `commands_whole_check`, which compared columns with each other, has no such form and
-- goes: the writer derives all of those columns from one (whether there is a refusal), in one statement, and a test
-- holds every row that it writes to the same rule. Keys, NOT NULL, triggers and grants are as they were.
--
-- A change of a column's type writes the table anew, once.

CREATE DOMAIN cmdiag.sha256 AS bytea CONSTRAINT sha256_check CHECK (octet_length(VALUE) = 32);
CREATE DOMAIN cmdiag.command_outcome AS text
    CONSTRAINT command_outcome_check CHECK (VALUE IN ('accepted', 'refused'));

ALTER TABLE cmdiag.commands
    DROP CONSTRAINT commands_whole_check,
    DROP CONSTRAINT commands_outcome_check,
    DROP CONSTRAINT commands_body_hash_check,
    ALTER COLUMN outcome TYPE cmdiag.command_outcome,
    ALTER COLUMN body_hash TYPE cmdiag.sha256;
