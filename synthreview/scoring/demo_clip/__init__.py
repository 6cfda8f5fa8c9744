"""SynthCLIP: the small CLIP that is trained on the embedded generator's drawn world.

`captions` writes what pictures are said to show, `pictures` draws them, `model` builds
the network that open_clip loads, `training` trains it, `evaluation` measures it on
unseen seeds and `shipping` writes the folder that the scorer loads. Django-free.
"""
