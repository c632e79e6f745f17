"""Whether the tests notice a mistake: each is made by itself, and tests that still pass have missed it."""
