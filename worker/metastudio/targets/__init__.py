"""What MetaStudio can be asked to delete: an adapter a kind. No calls: the client reads what an adapter says."""
