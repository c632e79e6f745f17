"""When to look, when to stop, how it ended. Pure: it knows ``api/`` alone, and does no I/O."""
