"""Assets: events for teams that schedule DAGs by them."""
