-- Adds $3 alerts each to the rules $2, and all of them to organisation $1, which has $4 on one day at most if nothing else is said. The
-- organisation's row, which evaluators of its other chains want too, is locked last. Where it would have too many it is left as it is: so
-- fewer rows are changed than there are rules and one. A day never goes back: whoever comes late counts for the later one.
INSERT INTO alerts.daily_counts AS c (scope, scope_id, day, alert_count)
SELECT n.scope, n.scope_id, (now() AT TIME ZONE 'UTC')::date, n.added
  FROM (SELECT 'rule' AS scope, r.rule_id AS scope_id, r.added, 0 AS place
          FROM unnest($2::bigint[], $3::bigint[]) AS r (rule_id, added)
        UNION ALL
        SELECT 'org', $1, (SELECT sum(added)::bigint FROM unnest($3::bigint[]) AS added), 1) AS n
 ORDER BY n.place, n.scope_id
    ON CONFLICT (scope, scope_id) DO UPDATE
   SET alert_count = excluded.alert_count + CASE WHEN c.day >= excluded.day THEN c.alert_count ELSE 0 END,
       day = greatest(c.day, excluded.day)
 WHERE c.scope = 'rule'
    OR excluded.alert_count + CASE WHEN c.day >= excluded.day THEN c.alert_count ELSE 0 END <= coalesce(c.most, $4)
