-- $1 kinds, $2 bodies, $3 organisations: one of each for every event, in the order in which they happened. $4 places in that
-- order, $5 queues, $6 message groups: one of each for every queue that is to be told of the event at that place. Returns the ids, and
-- the trace of each.
WITH recorded AS (
    -- Ids are drawn in this order.
    INSERT INTO control.events (kind, body, org_id)
    SELECT kind, body, org_id
      FROM unnest($1::text[], $2::jsonb[], $3::bigint[]) WITH ORDINALITY AS e (kind, body, org_id, place)
     ORDER BY place
 RETURNING id, trace_id
), numbered AS (
    SELECT id, trace_id, row_number() OVER (ORDER BY id) AS place FROM recorded
), told AS (
    INSERT INTO control.outbox (event_id, queue, message_group)
    SELECT numbered.id, o.queue, o.message_group
      FROM unnest($4::bigint[], $5::text[], $6::text[]) AS o (place, queue, message_group)
      JOIN numbered ON numbered.place = o.place
     ORDER BY o.place
)
SELECT id, trace_id FROM numbered ORDER BY place
