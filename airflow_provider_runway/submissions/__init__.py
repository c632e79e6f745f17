"""What was submitted and paid for: the notes of a task's submissions, and the stores that keep them."""
