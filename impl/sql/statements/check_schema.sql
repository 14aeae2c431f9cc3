-- What a connection must know before it is used. Fails when the schema is not there.
SELECT c.schema_version, c.logged, c.system_identifier = (SELECT s.system_identifier FROM pg_control_system() s)
  FROM :"schema".cache c
