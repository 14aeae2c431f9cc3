-- Forgets what is old of the change stream, if that is due; see trim_changes(). A row: was anything done?
SELECT :"schema".trim_changes()
