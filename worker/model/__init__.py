"""What a deletion is: its states, its ids, its errors. No I/O; it imports nothing of ours."""
