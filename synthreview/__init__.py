"""SynthReview: from prompt to certified training image. The map of the code:

lib/         Django-free, one subject per file     trail/      who changed what, append-only
work/        durable work, leases, the sweeper
accounts/    users, sign-in, API tokens            catalog/    1 WHAT: classes, axes, policy
spending/    budgets, paid calls and their spool
prompting/   2 SAY: templates, prompts, authors    generation/ 3 DRAW: runs, calls, images
scoring/     4 RANK: CLIP and other scorers        review/     5 JUDGE: queue, decisions
export/      6 HAND OVER: snapshots, writers       evaluation/ 7 PROVE: train, judge real images
overview/    pages over every stage; no models
settings.py  one file, driven by the environment   cron.py     every automatic step, in one place

A stage imports only from those before it (import-linter holds it to that).
"""

__version__ = "0.1.0"
