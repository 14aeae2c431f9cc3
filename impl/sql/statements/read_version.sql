SELECT c.schema_version, c.logged FROM :"schema".cache c
