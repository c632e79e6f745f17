"""Moves videos and pictures: whole, once, under their name."""
