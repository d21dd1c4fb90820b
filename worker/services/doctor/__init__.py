"""Checks of the setup. Each check is a value: what was found, and what to do. It prints nothing."""
