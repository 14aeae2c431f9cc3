-- Bounds a namespace. $1 namespace (NULL: all), $2 most entries, $3 most bytes: 0 none, -1 as it is. No rows' worth of
-- answer; the row says whether there is any bound now.
SELECT :"schema".is_bounded()
  FROM (SELECT :"schema".set_limit($1::text,
                 CASE WHEN $2::bigint = -1 THEN (n.settings ->> 'max_entries')::bigint ELSE nullif($2::bigint, 0) END,
                 CASE WHEN $3::bigint = -1 THEN (n.settings ->> 'max_bytes')::bigint ELSE nullif($3::bigint, 0) END)
          FROM (SELECT coalesce($1::text, '') AS name) w
          LEFT JOIN :"schema".namespaces n ON n.name = w.name
        OFFSET 0) done
