"""Workers at work: executors, dispatcher, wake-ups, Celery's parts, the wiring. No rule and no page lives here."""
