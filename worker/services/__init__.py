"""The services: one module per action or query. They print nothing and parse nothing."""
