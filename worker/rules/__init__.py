"""Decisions: what a response means and what follows from it. Pure: no I/O; time and chance are arguments."""
