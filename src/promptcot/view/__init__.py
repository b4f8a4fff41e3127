"""The explorer: a local page over the tables of a run. `queries` asks, `server` answers, `pages` renders."""
