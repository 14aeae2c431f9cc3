-- Takes the relay's lease, renews it or gives it up. $1 who asks, $2 for how many ms, a minute at most; 0: gives it up.
-- One row: does the one who asks have it now? A lease that ends later than any could is of a clock set back. While half of
-- it is left a renewal writes nothing: each would leave a dead row that a long transaction of anybody's keeps.
-- @takes uuid, integer
-- @gives leads boolean
WITH t AS MATERIALIZED (
  SELECT clock_timestamp() AS now, least(greatest($2::int, 0), 60000) * interval '1 millisecond' AS wanted
), held AS MATERIALIZED (
  SELECT FROM :"schema".relay r, t
   WHERE r.holder = $1::uuid AND r.until > t.now + t.wanted / 2 AND r.until <= t.now + t.wanted
), taken AS (
  INSERT INTO :"schema".relay AS r (holder, until)
  SELECT $1::uuid, t.now + t.wanted FROM t WHERE NOT EXISTS (SELECT FROM held)
     AND ($2::int > 0 OR EXISTS (SELECT FROM :"schema".relay o WHERE o.holder = $1::uuid))
  ON CONFLICT (only_row) DO UPDATE SET holder = EXCLUDED.holder, until = EXCLUDED.until
   WHERE r.holder = EXCLUDED.holder OR r.until <= clock_timestamp() OR r.until > clock_timestamp() + interval '1 minute'
  RETURNING 1
)
SELECT $2::int > 0 AND (EXISTS (SELECT FROM held) OR EXISTS (SELECT FROM taken))
