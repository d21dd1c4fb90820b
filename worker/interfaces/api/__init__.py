"""The HTTP API for other people's services. No rule lives here."""
