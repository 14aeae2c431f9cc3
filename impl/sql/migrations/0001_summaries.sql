
-- Schema version 1: what processes have measured of themselves, for people who ask about all of them: see the setting
-- publish_ms. The server keeps the bytes and does not look into them.

-- The last summary of each process. It is of some kilobytes, is written anew every few seconds, and may be lost.
CREATE UNLOGGED TABLE :"schema".summaries (
  origin      text COLLATE "C" PRIMARY KEY CHECK (octet_length(origin) BETWEEN 1 AND 255),
  at          timestamptz NOT NULL,
  interval_ms integer     NOT NULL CHECK (interval_ms BETWEEN 1000 AND 3600000),
  bytes       bytea       NOT NULL CHECK (octet_length(bytes) <= 1048576)
);
ALTER TABLE :"schema".summaries ALTER COLUMN bytes SET STORAGE EXTERNAL; -- the server's compression costs more than it saves

-- Puts a summary in the place of the one before. Who comes anew tidies up after those who have long been silent: there cannot
-- be more of them than came. Not for roles that are kept to namespaces, like the next: the figures are of all namespaces.
CREATE FUNCTION :"schema".write_summary(origin text, interval_ms integer, bytes bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE :"schema".summaries s SET at = clock_timestamp(), interval_ms = $2, bytes = $3 WHERE s.origin = $1;
  IF FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM :"schema".summaries s
   WHERE s.origin IN (SELECT o.origin FROM :"schema".summaries o
                       WHERE o.at < clock_timestamp() - 10 * o.interval_ms * interval '1 millisecond'
                         FOR UPDATE SKIP LOCKED);
  INSERT INTO :"schema".summaries AS s (origin, at, interval_ms, bytes) VALUES ($1, clock_timestamp(), $2, $3)
  ON CONFLICT ON CONSTRAINT summaries_pkey
  DO UPDATE SET at = EXCLUDED.at, interval_ms = EXCLUDED.interval_ms, bytes = EXCLUDED.bytes;
  RETURN true;
END $$;

-- A page of the summaries of those who are not silent: only origins behind `after` (NULL: from the beginning), so many.
CREATE FUNCTION :"schema".read_summaries(after text, room integer)
RETURNS TABLE (origin text, at timestamptz, bytes bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.origin, s.at, s.bytes
    FROM :"schema".summaries s
   WHERE ($1 IS NULL OR s.origin > $1 COLLATE "C")
     AND s.at > clock_timestamp() - 3 * s.interval_ms * interval '1 millisecond'
   ORDER BY s.origin
   LIMIT $2
$$;
