"""What was sent and paid: the journal of a task's submissions and the stores that keep it."""
