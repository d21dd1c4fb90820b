"""What is kept in Redis: each change is one Lua script, each question one round trip. It does not know HTTP."""
