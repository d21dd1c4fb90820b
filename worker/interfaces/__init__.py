"""The interfaces for people and programs: they parse, call a service and print. No rules here."""
