"""The remote side: credentials, signing, client, states. It does not know that a ledger or queues exist."""
