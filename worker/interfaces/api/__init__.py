"""The HTTP API for other services. No rules here."""
