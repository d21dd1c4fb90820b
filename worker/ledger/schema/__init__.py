"""What Redis holds: every key, field, state and transition by name.

Nothing else knows a stored name; nothing here does I/O.
"""
