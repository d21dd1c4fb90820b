"""The remote side: credentials, signing, client, states and a simulator. It does not know that queues exist."""
