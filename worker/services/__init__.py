"""What can be asked of the system, one module an act or a question. It prints nothing and parses nothing."""
