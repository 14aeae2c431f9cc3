-- What each check of the doctor begins with, in one transaction with it: it changes nothing, waits for nobody for long, and
-- may read the whole table.
SELECT set_config('transaction_read_only', 'on', true), set_config('lock_timeout', '1s', true),
       set_config('statement_timeout', '10s', true), set_config('enable_seqscan', 'on', true);
