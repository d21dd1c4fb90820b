"""Figures, each with the command that makes it. See README.md beside this file."""
