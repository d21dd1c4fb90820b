"""Retention: jobs that a policy means are listed, planned, capped, requested with a grace, and asked about once more.

policy      what a policy is; `book` reads them from the file of ERASER_CONFIG and refuses what is easy to get wrong
matching    does this job match, and if not, why: pure, the only place that decides
cron        when a policy is due, in UTC: pure
catalogue   reads a project's jobs to the end although they vanish meanwhile
plan        what a run would ask for and what not, and whether a cap stops it: pure
survey      makes the plan: every row of the catalogue against policy, holds and ledger
sweep       carries a plan out, and keeps a record of the run
schedule    runs what is due, once for each slot, whoever asks and however often
reread      is a job that waited for its grace still meant? Executors ask just before the call
"""
