-- Lets the planner read whole tables in order, or forbids it again. $1 'on' or 'off'
SELECT set_config('enable_seqscan', $1::text, false)
