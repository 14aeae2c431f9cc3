-- Ends the entries that depend on these digests, and loads of them. $1 digests of keys and tags, sorted; $2 the namespace,
-- $3 their names, each behind a byte k for keys or t for tags, which show to a role that is kept to namespaces that it may;
-- NULL where nobody asks. A row: how many were not invalidated in this transaction before.
SELECT :"schema".invalidate_digests($1::uuid[], $2::text, $3::bytea[])
