"""The configuration of a process: settings, accounts, files, its clock. It knows neither the ledger nor MetaStudio."""
