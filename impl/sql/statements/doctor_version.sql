-- The row that says what the schema is.
SELECT c.schema_version, c.logged, c.system_identifier = (SELECT s.system_identifier FROM pg_control_system() s),
       c.coherent
  FROM :"schema".cache c
