"""``make tutorial``: the tutorial, followed word by word."""
