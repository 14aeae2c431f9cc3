-- What has changed since a snapshot. $1 the cursor, a snapshot's text; '': there is none yet, so no events.
-- One row: the snapshot to go on from; the stream's nonce: with another one than before the cursor means nothing; the floor:
-- a cursor whose position is below it has missed events; whether nobody is the relay; whether the queue of notifications is
-- so full that nothing should be sent; the channel, '': there is no stream; the events as frames, see pure/changes.h: NULL when they have more than
-- 64 MiB; whether there may be roles that are kept to some namespaces, and so are not to be believed about others; the epoch. No row: the marker is gone, and nothing can be said before new_epoch().
-- A row of `changes` was not seen by the cursor exactly if its transaction is not below the snapshot's xmax, or is one of
-- those that were in progress. Compared with the lowest in progress alone, a long transaction of anybody would have all read
-- again and again what came after it; compared with the highest seen, its own rows would be missed. One statement has one
-- snapshot: what it reads and what it gives as the next cursor are the same. Transactions in read committed only: with an
-- older snapshot the proof of freshness would be none.
-- The nonce is mixed with the identities of database and table, because a dump contains the marker. And with how many
-- transactions that were prepared before a crash have not ended: the crash has emptied the unlogged table of what they had said, and
-- when one is committed there is no other sign of what it has invalidated.
-- @takes text
-- @gives snapshot text, nonce uuid, floor bigint, relay_free boolean, busy boolean, channel text, frames bytea, restricted boolean, epoch integer
SELECT pg_current_snapshot()::text,
       encode(substring(sha256(uuid_send(m.nonce) || oidsend(m.tableoid)
                               || (SELECT oidsend(d.oid) FROM pg_database d WHERE d.datname = current_database())
                               || CASE WHEN m.prepared IS NULL THEN ''
                                       ELSE (SELECT int8send(count(*)) FROM unnest(m.prepared) x(xid)
                                              WHERE NOT pg_visible_in_snapshot(x.xid, pg_current_snapshot())) END)
                        FROM 1 FOR 16), 'hex')::uuid,
       m.floor,
       NOT EXISTS (SELECT FROM :"schema".relay r WHERE r.until > (SELECT clock_timestamp()) -- by the index
                                                    AND r.until <= (SELECT clock_timestamp()) + interval '1 minute'),
       pg_notification_queue_usage() > 0.01, CASE WHEN c.coherent THEN c.notify_channel ELSE '' END,
       CASE WHEN u.bytes > 67108864 THEN NULL ELSE coalesce(u.frames, '') END, c.restricted,
       m.epoch
  FROM :"schema".marker m CROSS JOIN :"schema".cache c
 CROSS JOIN LATERAL (
   SELECT max(f.bytes) AS bytes,
            string_agg(int2send(f.kind) || int4send(octet_length(f.event)) || f.event, '') -- what is too much is not even read
              FILTER (WHERE f.bytes <= 67108864) AS frames
     FROM (SELECT n.kind, n.event, sum(6 + octet_length(n.event)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes
             FROM (
               SELECT s.kind, s.event FROM :"schema".changes s
                WHERE s.xid >= pg_snapshot_xmax(nullif($1::text, '')::pg_snapshot)
               UNION ALL
               SELECT s.kind, s.event FROM :"schema".changes s
                WHERE s.xid = ANY (ARRAY(SELECT pg_snapshot_xip(nullif($1::text, '')::pg_snapshot)))
             ) n) f) u
