-- Lets the application's role in, see 0001_roles.sql.
DO $$
BEGIN
  PERFORM :"schema".grant_access(:'app_role', string_to_array(nullif(:'app_namespaces', ''), ','), :'grants');
END $$
