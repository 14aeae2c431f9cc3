-- A slice of the shared walk; see clean_slice() for the parameters and the columns of its one row.
SELECT s.busy, s.finished, s.now_removed, s.now_evicted, s.in_stage, s.done_blocks, s.all_blocks, s.spent_us, s.bounded
  FROM :"schema".clean_slice($1::uuid, $2::int, $3::int, $4::bigint, $5::boolean) s
