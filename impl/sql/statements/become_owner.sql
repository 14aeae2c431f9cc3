-- Goes on as the owner of the cache that is there until the end of the transaction; the owner itself cannot log in.
SELECT set_config('role', pg_get_userbyid(c.relowner), true) FROM pg_class c WHERE c.oid = to_regclass(:'cache')
