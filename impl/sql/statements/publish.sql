-- Sends notifications. $1 channel, $2 payloads. A row: how many.
SELECT count(pg_notify($1::text, p.payload)) FROM unnest($2::text[]) AS p(payload)
