-- Who answers, and what the time is there, in microseconds. Two sides of a pooler, or of a wrong clock, differ.
SELECT pg_backend_pid(), current_setting('server_version_num'),
       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
