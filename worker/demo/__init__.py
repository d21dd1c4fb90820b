"""The demo: every kind of failure at once, on this machine only, judged by the simulator's own log.

scenario    the jobs, what goes wrong with each, and the expected result of each: data
stage       a temporary directory with its own Redis, simulator and worker
play        the steps, from the requests to the replay of the dead letters
leftovers   jobs with a model asset and a voice: all of it is found and deleted
cleanup     the last step: a small sweep by a policy
verdict     the ledger against the simulator's log: is each result as expected, and is it true?
"""
