"""What people and other programs do with the ledger: the command line, and all that it shares with other doors."""
