"""Models that find a thing in a picture, so that a mask can be made of it. One file each.

They know nothing of Django; torch is imported inside them only, and they work in workers only.
"""
