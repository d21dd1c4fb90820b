"""The demo: every kind of trouble at once, on this machine alone, judged by the other side's own log.

scenario    which jobs there are, what goes wrong with each and how each has to end: data
stage       a throwaway directory with a Redis, a simulator and a worker of its own
play        the acts, from the requests to the replay of the dead letters
cleanup     the last act: a small sweep by a policy
verdict     the ledger against the simulator's log: did each end as it had to, and is it true?
"""
