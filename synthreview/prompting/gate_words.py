"""The small word lists of the gate: what is flagged for a person's eye, never dropped.

They are short on purpose: a long list flags a hospital's dataset to death. Whole words, any
case; `gate.py` adds plurals. Not a moderation service.
"""

from __future__ import annotations

UNSAFE = frozenset(
    """
    nude naked topless nsfw porn porno pornographic erotic erotica hentai fetish genitals
    genitalia lingerie upskirt orgy masturbating rape
    gore gory beheaded beheading decapitated dismembered disembowelled mutilated corpse suicide
    self-harm torture tortured lynching execution massacre
    nazi swastika hitler terrorist isis kkk
    cocaine heroin methamphetamine meth
    slur racist retarded
    """.split()
)

# Surnames that follow "by" or "in the style of" in the captions that models were trained on.
ARTISTS = frozenset(
    """
    banksy basquiat beeple beksinski botticelli bosch bruegel caravaggio cezanne chagall dali
    degas disney escher frazetta gauguin ghibli giger goya hockney hokusai hopper kahlo
    kandinsky klimt lichtenstein magritte matisse michelangelo miro miyazaki modigliani mondrian
    monet mucha munch okeeffe picasso pixar pollock raphael rembrandt renoir rockwell rothko
    rutkowski seurat vermeer warhol
    """.split()
)
ARTIST_PHRASES = ("van gogh", "da vinci", "norman rockwell", "tim burton", "wes anderson")

FAMOUS = (
    "albert einstein", "angela merkel", "barack obama", "beyonce", "cristiano ronaldo",
    "donald trump", "elon musk", "elvis presley", "emmanuel macron", "greta thunberg",
    "joe biden", "kamala harris", "kim kardashian", "lionel messi", "mahatma gandhi",
    "marilyn monroe", "martin luther king", "michael jackson", "mother teresa",
    "nelson mandela", "olaf scholz", "pope francis", "princess diana", "queen elizabeth",
    "taylor swift", "vladimir putin", "xi jinping",
)  # fmt: skip

# Capitals that are no names of people: after "in the style of", or two in a row.
NO_NAMES = frozenset(
    """
    abstract american african antarctic april arctic art asian atlantic august autumn baroque
    bauhaus black british celtic chinese christmas cubist cubism deco december dutch easter
    eastern egyptian english european expressionism expressionist february fauvism french friday
    german gothic greek halloween indian impressionism impressionist islamic italian january
    japanese july june korean march mediterranean mexican minimalism monday moorish northern
    nouveau november october pacific pointillism pop portuguese realism renaissance rococo roman
    romanticism russian saturday scandinavian september southern spanish sunday surrealism
    swiss thursday tuesday ukiyo-e victorian wednesday western
    """.split()
)

# The commonest small words of each language. A word that stands for two of them does not speak
# for another language than the own one: hence "a" and "no", which are Portuguese as well.
STOP_WORDS = {
    "en": frozenset(
        """a an the and with of on at is are in by from under near its while over as do no or so me
        to it he she for up per men had""".split()
    ),
    "de": frozenset(
        "der die das und mit von auf ist ein eine einer einem im am unter neben bei aus zum".split()
    ),
    "fr": frozenset(
        "le la les et avec des du dans sur un une est sous près au aux qui par".split()
    ),
    "es": frozenset("el la los las y con del en un una es sobre bajo junto al por que".split()),
    "it": frozenset("il la lo gli e con del della nel nella su un una è sotto di che per".split()),
    "pt": frozenset("o a os as e com do da no na em um uma é sobre sob ao que por".split()),
    "nl": frozenset("de het en met van op een is in onder naast bij aan uit naar".split()),
}
