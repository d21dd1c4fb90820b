"""Retention: jobs that match a policy are listed, planned, capped, requested with a grace, and checked once more.

policy         what a policy is; `policy_file` reads them from the file of ERASER_CONFIG and refuses common mistakes
matching       whether a job matches, and if not, why: pure, the only module that decides
cron           when a policy is due, in UTC: pure
job_listing    reads all jobs of a project although jobs are deleted meanwhile
plan           what a run would request and what not, and whether a cap stops it: pure
planner        makes the plan: compares every listed job with policy, holds and ledger
sweep          executes a plan, and keeps a record of the run
schedule       runs what is due, once for each scheduled time, however often it is asked
revalidation   whether a job still matches after its grace; executors check just before the call
"""
