"""What a process is told: settings, accounts, files, its clock. It knows neither the ledger nor MetaStudio."""
