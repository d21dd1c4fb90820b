"""Proof: the result of each deletion, chained by hash, exported, verified offline, and archived outside Redis.

finish (Lua) ──▶ stream in Redis ──seal──▶ {n, head}        within a second, by the dispatching worker
                      │
                      ├──archive──▶ DIR/<account>/2026-11-21.jsonl    each UTC day once it is over, then trimmed
                      └──export───▶ one file: every receipt since …, and a trailer with its head, perhaps signed
"""
