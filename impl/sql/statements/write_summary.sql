-- Publishes what a process has measured. $1 its origin, $2 how often it publishes, in ms, $3 the summary. A row: is it a new one?
SELECT :"schema".write_summary($1::text, $2::int, $3::bytea)
