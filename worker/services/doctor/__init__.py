"""Is everything as it has to be? Each check is a value: what was found, and what to do. It prints nothing."""
