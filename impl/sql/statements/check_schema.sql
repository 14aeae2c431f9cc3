-- What a connection must know before it is used. $1 the handle's namespace. Fails when the schema is not there. The second column
-- says how it was made: 1 logged, 2 coherent. The one behind those of check_schema() says how the role works with it, see
-- pgc_access: 0 with statements on the tables, 1 with the functions library_*, 2 with restricted_*.
SELECT s.schema_version, s.logged::integer + 2 * s.coherent::integer, s.same_cluster, s.keyed_digests, s.standby,
       CASE WHEN has_table_privilege(t.entries, 'SELECT') AND has_table_privilege(t.entries, 'INSERT')
                 AND has_table_privilege(t.entries, 'UPDATE') AND has_table_privilege(t.entries, 'DELETE') THEN 0
            WHEN has_function_privilege(t.library_get, 'EXECUTE') THEN 1
            WHEN has_function_privilege(t.restricted_get, 'EXECUTE') THEN 2
            ELSE 0 END, s.bounded, s.epoch
  FROM :"schema".check_schema($1::text) s,
       (SELECT to_regclass(:'entries') AS entries, to_regprocedure(:'library_get') AS library_get,
               to_regprocedure(:'restricted_get') AS restricted_get) t
