-- What organisation $1 and the rules $2 have had today, or since, and how many they may have if it is not as many as all.
SELECT scope, scope_id, CASE WHEN day >= (now() AT TIME ZONE 'UTC')::date THEN alert_count ELSE 0 END, most
  FROM alerts.daily_counts
 WHERE (scope = 'org' AND scope_id = $1) OR (scope = 'rule' AND scope_id = ANY ($2))
