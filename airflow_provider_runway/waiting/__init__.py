"""When to poll, when to stop, how it ended. Pure: it knows ``api/`` alone, and does no I/O."""
