-- Empties the whole cache at once, if nobody is reading it for long. A row: how many entries, NULL if it was not possible.
SELECT :"schema".truncate_entries()
