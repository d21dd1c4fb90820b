"""One machine: a private Redis, child processes, and `eraser up`. Production does not need it."""
