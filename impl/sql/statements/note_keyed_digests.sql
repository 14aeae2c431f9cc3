-- $1 namespace. The function says why.
SELECT :"schema".note_keyed_digests($1::text)
