-- $records, $documents, $seed and $born are replaced by numbers and a timestamp before the statements are run.
-- Document k belongs to record ceil(k * records / documents): a record has one exactly where the quotient steps.
INSERT INTO tsrectype VALUES
    (1, 'Document (double)', true), (2, 'Folder (double)', false), (3, 'Archive box (double)', false),
    (4, 'E-mail (double)', true);
INSERT INTO tsrecord
SELECT n, 'DBL-' || to_char(n, 'FM00000000'),
       'Double: ' || (ARRAY['Contract','Permit','Invoice','Minutes','Report','Application','Notice','Plan'])[1 + (n * 7919 + $seed) % 8]
           || ' ' || (ARRAY['roads','schools','water','harbour','parks','staff','energy','housing','health'])[1 + (n * 104729 + $seed) % 9]
           || ' ' || (n * 31 + $seed) % 9973,
       CASE WHEN n * $documents / $records > (n - 1) * $documents / $records THEN
                CASE WHEN n % 5 = 0 THEN 4 ELSE 1 END
            WHEN n % 3 = 0 THEN 3 ELSE 2 END,
       $born - interval '2 days' - interval '5 years' * (CAST($records - n AS double precision) / $records),
       CASE WHEN n % 10 = 3 THEN $born - interval '300 days' + interval '1 hour' * (n % 2000)
            WHEN n % 10 = 7 THEN $born + interval '10 years' + interval '1 hour' * (n % 2000) END,
       CASE WHEN n % 10 = 3 THEN $born - interval '100 days' WHEN n % 10 = 7 THEN $born - interval '90 days' END,
       CASE WHEN n % 20 = 11 THEN 1 + n % 3 END
FROM generate_series(CAST(1 AS bigint), $records) n;
INSERT INTO tslocation
SELECT n, CASE WHEN n <= 20 THEN 'Double unit ' ELSE 'Double person ' END || n,
       CASE WHEN n > 20 THEN 'DOUBLE\user' || n END, n % 37 = 5,
       CASE WHEN n > 20 THEN $born - interval '1 hour' * (n % 300) END,
       CASE WHEN n <= 20 THEN 'Unit' WHEN n % 50 = 0 THEN 'Administrator' ELSE 'Contributor' END
FROM generate_series(CAST(1 AS bigint), 220) n;
INSERT INTO tsrecloc SELECT n, n, 1 + (n * 13 + $seed) % 220 FROM generate_series(CAST(1 AS bigint), $records) n;
INSERT INTO tsexfield VALUES (1, 'Double: region'), (2, 'Double: cost centre'), (3, 'Double: language');
INSERT INTO tsexfieldv
SELECT n, n, 1 + n % 3, 'value ' || (n * 17 + $seed) % 101 FROM generate_series(CAST(1 AS bigint), $records) n;
INSERT INTO tscasereco
SELECT n, n * 9, 'Double hold ' || 1 + n % 3 FROM generate_series(CAST(1 AS bigint), 50) n;
INSERT INTO tsreclink (recuri1, recuri2, linktype)
SELECT n * 20, n * 20 - 7, 'related' FROM generate_series(CAST(1 AS bigint), $records / 20) n;
INSERT INTO tswkworkfl
SELECT n, 'Double workflow ' || n, CASE WHEN n % 4 = 0 THEN 'Started' ELSE 'Completed' END
FROM generate_series(CAST(1 AS bigint), 100) n;
INSERT INTO tswkactivi
SELECT n, 1 + n / 3, 'Double activity ' || n,
       CASE WHEN (1 + n / 3) % 4 = 0 THEN $born + interval '3 years' ELSE $born - interval '30 days' END,
       CASE WHEN (1 + n / 3) % 4 = 0 THEN 'Started' ELSE 'Completed' END
FROM generate_series(CAST(1 AS bigint), 290) n;
INSERT INTO tstxtidx
SELECT n * 2 - 1 + w, n, lower(split_part(rctitle, ' ', CAST(2 + w AS int)))
FROM (SELECT uri AS n, rctitle FROM tsrecord ORDER BY uri) r, generate_series(0, 1) w
ORDER BY 1;
INSERT INTO double_licence VALUES
    ('Core users (double)', 500, 387, $born + interval '400 days'),
    ('Administrators (double)', 20, 6, $born + interval '400 days'),
    ('ServiceAPI (double)', 100, 58, $born + interval '400 days');
