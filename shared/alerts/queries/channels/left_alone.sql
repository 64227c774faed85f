-- $1 organisation, $2 channel: the rules that tell nobody else.
SELECT r.name
  FROM alerts.rules r
  JOIN alerts.rule_channels rc ON rc.rule_id = r.id AND rc.org_id = r.org_id
 WHERE r.org_id = $1 AND rc.channel_id = $2 AND r.deleted_at IS NULL
   AND NOT EXISTS (SELECT
                     FROM alerts.rule_channels o
                     JOIN alerts.channels c ON c.id = o.channel_id AND c.org_id = o.org_id
                    WHERE o.rule_id = r.id AND o.org_id = r.org_id AND o.channel_id <> $2 AND c.deleted_at IS NULL)
 ORDER BY r.name
