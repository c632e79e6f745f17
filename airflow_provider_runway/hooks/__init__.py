"""Hooks of the Runway provider."""
