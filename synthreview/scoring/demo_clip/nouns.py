"""Common nouns that the drawn world does not hold.

TRAINING_NOUNS are shown to the model as things that match no picture. PROBE_NOUNS are
never shown: they measure whether an unknown word is refused.
"""

from __future__ import annotations

from typing import Final

TRAINING_NOUNS: Final = tuple(
    """airplane train truck bus motorcycle helicopter rocket tractor scooter wagon canoe
    submarine cat horse cow sheep pig goat rabbit mouse rat squirrel fox wolf bear lion
    tiger elephant monkey gorilla deer moose camel kangaroo koala panda hedgehog bat whale
    dolphin shark octopus crab lobster turtle frog snake lizard crocodile dragon spider ant
    bee butterfly snail worm chicken duck goose turkey owl eagle penguin apple banana grape
    lemon cherry strawberry pineapple melon tomato potato carrot onion pepper corn bread
    cheese cake cookie pizza sandwich burger egg rice soup salad steak bottle glass plate
    bowl spoon fork knife pan pot kettle oven stove fridge table desk sofa bed lamp clock
    mirror carpet curtain door window wall roof stairs ladder hammer saw screwdriver wrench
    drill nail rope chain bucket broom brush sponge soap towel toothbrush comb shirt
    trousers dress skirt jacket coat hat cap shoe boot sock glove scarf belt tie ring
    necklace watch crown phone computer laptop keyboard printer camera television radio
    guitar piano violin drum trumpet flute pen pencil paper book newspaper letter envelope
    stamp map globe flag kite balloon doll puppet robot puzzle dice card coin key lock bell
    candle torch match lighter battery magnet telescope microscope man woman boy girl baby
    king queen soldier doctor nurse farmer pilot clown ghost bridge tower castle church
    school hospital factory barn tent windmill lighthouse fountain statue tree bush leaf
    cactus mushroom rock stone volcano river waterfall cloud rainbow sun basket box bag
    suitcase backpack wallet purse barrel crate jar tin can cage fence gate skateboard
    surfboard ski sledge racket bat helmet trophy medal whistle anchor sword shield bow
    arrow cannon""".split()
)
PROBE_NOUNS: Final = tuple(
    """giraffe zebra hippo rhinoceros leopard cheetah ostrich flamingo swan pigeon jellyfish
    seal walrus aeroplane tram van lorry ambulance bulldozer crane raft glider pear peach
    plum mango avocado broccoli cabbage pumpkin cucumber sausage pancake teapot saucepan
    microwave toaster wardrobe shelf bench stool pillow blanket axe shovel rake scissors
    needle thread bracelet sandal sweater slipper tablet monitor speaker harp saxophone
    accordion calendar poster sculpture pyramid skyscraper palace wheelbarrow cart pram
    swing slide dinosaur unicorn mermaid snowman scarecrow""".split()
)
