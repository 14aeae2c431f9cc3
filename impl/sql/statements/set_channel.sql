-- The channel of the setting notify_channel, in place of a random one.
UPDATE :"schema".cache SET notify_channel = :'notify_channel'
