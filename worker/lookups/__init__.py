"""The one way to ask MetaStudio about jobs: at the lookups' pace, by its clock, and with the control questions without
which an absence proves nothing."""
