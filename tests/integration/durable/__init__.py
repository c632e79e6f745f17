"""A submission over tries, deferrals, clears and deaths."""
