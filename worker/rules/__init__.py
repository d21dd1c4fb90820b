"""Decisions: what a response means and what follows from it. Pure: no I/O; time and randomness are arguments."""
