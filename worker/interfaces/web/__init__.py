"""What the API and the console share: server, request guard, origin checks. No page and no address lives here."""
