"""The only way to ask MetaStudio about jobs: at the rate of lookups, by its clock, and with the control questions
without which an absence proves nothing."""
