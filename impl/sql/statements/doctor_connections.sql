-- Connections that the server, the database and the role still have for us; NULL where there is no limit.
SELECT current_setting('max_connections')::bigint,
       greatest(0, current_setting('max_connections')::bigint
         - (SELECT coalesce(sum(d.numbackends), 0) FROM pg_stat_database d)
         - CASE WHEN r.rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::bigint
             + coalesce(current_setting('reserved_connections', true)::bigint, 0) END),
       CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN greatest(0, r.rolconnlimit
         - (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid)) END,
       CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN greatest(0, d.datconnlimit
         - (SELECT s.numbackends FROM pg_stat_database s WHERE s.datid = d.oid)) END
  FROM pg_roles r, pg_database d
 WHERE r.rolname = session_user AND d.datname = current_database()
