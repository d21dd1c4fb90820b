"""What runs in a worker: executors, dispatcher, wake-ups, Celery's parts, the wiring. No rules and no pages here."""
