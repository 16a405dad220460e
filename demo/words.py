"""Remarks as people in the field write them, some so long that a database stores them out of line."""

import numpy as np

LEXICON = """
    rig crew valve choke separator gauge pressure tubing casing flowline compressor bled opened closed replaced
    inspected greased tested pumped swabbed calibrated drained sampled logged tightened leaking frozen sanded restarted
    tripped overheated vented paraffin scale hydrate corrosion inhibitor glycol heater treater dump float controller
    packer plunger rods polished stuffing box wellhead annulus bradenhead manifold skid lease operator notified landman
    dispatch haul water truck hot oil unit slickline wireline depth feet minutes before after shift night day again
    normal steady falling rising checked ok pending parts ordered returned vendor warranty location muddy road closed
"""
WORDS = np.array(LEXICON.split())


def sentence(random: np.random.Generator, words: int = 9) -> str:
    return " ".join(WORDS[random.integers(0, len(WORDS), words)]).capitalize() + "."


def long_text(random: np.random.Generator, characters: int) -> str:
    """A work log of at least `characters`; readings in hexadecimal keep it from compressing away."""
    count = characters // 9 + 1
    words = WORDS[random.integers(0, len(WORDS), count)]
    codes = random.integers(0, 2**32, count)
    return " ".join(f"{word} {code:08x}" for word, code in zip(words, codes, strict=True))
