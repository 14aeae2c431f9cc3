-- The near cache's connection hears of changes from here on. The channel's name comes from the poll.
UNLISTEN *;
LISTEN :"channel"
