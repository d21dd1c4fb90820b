"""How people and programs come in: they parse, call a service and print. No rule lives here."""
