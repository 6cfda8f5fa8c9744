"""Real processes that are killed, starved and lied to; the oracle then reads what is left.

points.py   the named points of a call at which a worker can be killed
site.py     a site: paid fakes, workers, a supervisor that starts them again
oracle.py   what must hold whenever the site has come to rest
"""
