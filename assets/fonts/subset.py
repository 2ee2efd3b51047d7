"""Makes the fonts of Chinese, Japanese and Korean from the ones of Noto Sans CJK. How to call it is in README.md.

The letters are those of the national standards: GB 2312 and Big5, JIS X 0208 with the extensions of code page 932, KS X 1001,
and all syllables of modern Hangul. What the fonts of DejaVu have is left out, because those come first.

Where a Han character is written in another way in Japan or Taiwan than on the mainland, that form is in a font of its own
that stands before the common one.
"""

import sys
from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

SIMPLIFIED, TRADITIONAL, JAPANESE = 2, 3, 0


def of_codec(name, leads, trails):
    """All characters that two bytes of a character set stand for."""
    found = set()
    for lead in leads:
        for trail in trails:
            try:
                text = bytes([lead, trail]).decode(name)
            except UnicodeDecodeError:
                continue
            if len(text) == 1:
                found.add(ord(text))
    return {c for c in found if not 0xE000 <= c <= 0xF8FF}


def write(source, number, characters, name):
    options = subset.Options()
    options.layout_features = []
    options.hinting = False
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.drop_tables += ["BASE", "GDEF", "GPOS", "GSUB", "VORG", "vhea", "vmtx"]
    options.font_number = number
    font = subset.load_font(source, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    # The time of the source, so that the same comes out each time.
    font.recalcTimestamp = False
    font.save(name)


def main(source, latin):
    high = range(0xA1, 0xFF)
    japanese = of_codec("cp932", [*range(0x81, 0xA0), *range(0xE0, 0xFD)], range(0x40, 0xFD))
    traditional = of_codec("big5", range(0xA1, 0xFA), [*range(0x40, 0x7F), *high])
    everything = (
        japanese
        | traditional
        | of_codec("gb2312", high, high)
        | of_codec("euc_kr", high, high)
        | set(range(0xAC00, 0xD7A4))
        | set(range(0x3000, 0x3130))
        | set(range(0x31F0, 0x3200))
        | set(range(0xFF01, 0xFFEF))
    )
    everything -= set(TTFont(latin).getBestCmap())
    faces = TTCollection(source).fonts
    glyphs = {number: faces[number].getBestCmap() for number in (SIMPLIFIED, TRADITIONAL, JAPANESE)}

    def other(characters, number):
        characters &= everything
        return {c for c in characters if glyphs[number].get(c) != glyphs[SIMPLIFIED].get(c)}

    write(source, SIMPLIFIED, everything, "NotoSansCJK.otf")
    write(source, JAPANESE, other(japanese, JAPANESE), "NotoSansCJK-Japan.otf")
    write(source, TRADITIONAL, other(traditional, TRADITIONAL), "NotoSansCJK-Taiwan.otf")


main(*sys.argv[1:])
