"""Replays of many dead letters: a plan, a canary, and steps that any worker runs.

    plan (up to the last failure's number) ──▶ snapshot, start ──▶ step, step, … ──▶ done | stopped | cancelled

The process that started it may die. A worker's dispatcher takes the steps; each is decided from the counts in Redis,
and its single move does nothing if another worker was quicker.
"""
