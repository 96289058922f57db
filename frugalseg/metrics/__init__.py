"""Counting what a model gets right."""
