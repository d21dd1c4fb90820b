"""Replays of many dead letters: a plan, a canary, and a job that any worker drives.

    plan (frozen at the last death's number) ──▶ freeze, start ──▶ step, step, … ──▶ done | stopped | cancelled

Whoever started it may die. A worker's dispatcher takes the steps; each is decided from the counts in Redis, and its one
move does nothing where somebody else was quicker.
"""
