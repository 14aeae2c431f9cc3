-- What a connection must know before it is used. $1 the handle's namespace. Fails when the schema is not there.
SELECT c.schema_version, c.logged, c.system_identifier = (SELECT s.system_identifier FROM pg_control_system() s),
       EXISTS (SELECT FROM :"schema".namespaces n WHERE n.name = $1::text AND n.settings ->> 'digests' = 'keyed'),
       pg_is_in_recovery()
  FROM :"schema".cache c
