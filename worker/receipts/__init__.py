"""Proof: the result of each deletion, chained by hash, exported, verified offline, and archived outside Redis.

finish (Lua) ──▶ stream in Redis ──seal──▶ {n, head}        within a second, by the dispatching worker
                      │
                      ├──archive──▶ DIR/<account>/2026-11-21.jsonl    each UTC day once it is over, then trimmed:
                      │                 │                             a Merkle tree with a signed checkpoint
                      │                 └──certificate──▶ one receipt, and the proof that it is in that tree
                      └──export───▶ one file: every receipt since …, and a trailer with its head, perhaps signed

canonical, commitments, chain, merkle, notes, tlog_proof and envelopes are formats: pure, and described where they are.
"""
