-- Rules of an organisation that are not deleted, with the names of their channels; one of them, if $4 or $5 says which.
SELECT r.id, r.name, r.chain_id, r.definition, r.version, r.state, r.quarantine_code, r.quarantine_message, r.quarantined_at,
       r.muted_until, r.first_block, r.created_by, r.created_at, r.updated_at,
       ARRAY(SELECT c.name
               FROM alerts.rule_channels rc
               JOIN alerts.channels c ON c.id = rc.channel_id AND c.org_id = rc.org_id
              WHERE rc.rule_id = r.id AND rc.org_id = r.org_id AND c.deleted_at IS NULL
              ORDER BY c.name) AS channels
  FROM alerts.rules r
 WHERE r.org_id = $1
   AND r.deleted_at IS NULL
   AND ($2::bigint IS NULL OR r.id < $2)
   AND ($4::bigint IS NULL OR r.id = $4)
   AND ($5::text IS NULL OR r.name = $5)
 ORDER BY r.id DESC
 LIMIT $3
