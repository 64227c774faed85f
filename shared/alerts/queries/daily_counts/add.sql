-- Adds $3 alerts each to the rules $2, and all of them to organisation $1. The organisation's row, which evaluators of its other chains
-- want too, is locked last.
INSERT INTO alerts.daily_counts AS c (scope, scope_id, day, alert_count)
SELECT n.scope, n.scope_id, (now() AT TIME ZONE 'UTC')::date, n.added
  FROM (SELECT 'rule' AS scope, r.rule_id AS scope_id, r.added, 0 AS place
          FROM unnest($2::bigint[], $3::bigint[]) AS r (rule_id, added)
        UNION ALL
        SELECT 'org', $1, (SELECT sum(added)::bigint FROM unnest($3::bigint[]) AS added), 1) AS n
 ORDER BY n.place, n.scope_id
    ON CONFLICT (scope, scope_id) DO UPDATE
   SET alert_count = excluded.alert_count + CASE WHEN c.day = excluded.day THEN c.alert_count ELSE 0 END, day = excluded.day
