"""Webhooks: what a message says, how it is signed, and one attempt to send it. Nothing here knows the ledger."""
