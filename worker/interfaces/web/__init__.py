"""What the API and the console share: server, request guard, origin checks. No pages and no routes here."""
