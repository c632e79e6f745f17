"""Triggers of the Runway provider."""
