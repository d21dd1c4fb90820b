"""Replays of many dead letters: a plan, a canary, and steps that any worker runs.

    plan (frozen at the last death's number) ──▶ freeze, start ──▶ step, step, … ──▶ done | stopped | cancelled

The process that started it may die. A worker's dispatcher takes the steps; each is decided from the counts in Redis,
and its single move does nothing if another worker was quicker.
"""
