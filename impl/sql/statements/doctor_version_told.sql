-- The same for a role that may not read the row but may ask for it.
SELECT s.schema_version, s.logged, s.same_cluster, s.coherent
  FROM :"schema".check_schema(NULL) s
