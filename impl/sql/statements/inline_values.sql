-- For caches whose values are up to 3 KiB and are rewritten often: they stay in the row, on the page that has room for the
-- next version of it. Out of line (the default from 2 KB on) an update leaves dead chunks behind, which only vacuum clears.
ALTER TABLE :"schema".entries SET (toast_tuple_target = 8160, fillfactor = 50)
