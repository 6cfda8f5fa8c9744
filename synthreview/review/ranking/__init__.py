"""The statistics of the queue's order: from scores and decisions to a chance of being bad.

Plain NumPy, SciPy and scikit-learn; nothing here knows Django, so that `manage.py replay` runs on a
file what the queue runs on rows. Only workers and commands import `model`: scikit-learn takes a
second to load, and the web process has no use for it.
"""
