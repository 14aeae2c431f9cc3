SELECT c.schema_version, c.logged, c.coherent FROM :"schema".cache c
