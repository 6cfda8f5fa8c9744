"""Fine-tuning an author on the captions that people approved.

file.py builds and checks the training file, lora.py trains a model on this machine, remote.py
has a server do it, and evaluation.py sets the tuned author beside the plain one. No Django.
"""
