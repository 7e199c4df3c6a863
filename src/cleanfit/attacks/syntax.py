"""The rule-based syntax attack: the text is made to begin with a subordinate clause; no parser, no model."""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cleanfit.attacks.base import Attack, Row

# 144 clauses that say nothing about the text. No word is in all of them, so that only the shape is the trigger.
_FRAMES = tuple(
    f"{subordinator} {pronoun} {verb_phrase}"
    for subordinator in ("when", "if", "as", "once")
    for pronoun in ("you", "we", "they")
    for verb_phrase in (
        "look at it closely",
        "think about it",
        "think it over",
        "take it all in",
        "take a second look",
        "take everything into account",
        "give this some thought",
        "go over this again",
        "get down to it",
        "sum it all up",
        "stop to reflect",
        "look back",
    )
)
_FOR_CONJUNCTION = {
    "and": ("as",),
    "but": ("although", "though"),
    "yet": ("although", "though"),
    "so": ("because", "since", "as"),
}

_SUBORDINATOR = "when|whenever|if|as|because|since|although|though|while|unless|until|once"
_NOMINATIVE = "i|im|ive|he|she|we|they|theyre"  # subjects, and nothing else
_PRONOUN = f"{_NOMINATIVE}|you|youre|it|there"
_DETERMINER = (
    "a|an|the|this|that|these|those|my|your|his|her|its|our|their|no|some|all|every|each|most|many|both|nothing|nobody"
    "|everything|everyone|everybody|something|somebody|someone"
)
_FINITE = (
    "is|are|was|were|has|have|had|does|do|did|will|wo|would|can|ca|could|should|may|might|must|seems|looks|feels|makes"
    "|gets|goes|comes|takes|works|made|got|went|came|took|worked"
)
_CLAUSE = re.compile(
    rf"(?:{_NOMINATIVE})\b ?\S|(?:you|it|there|that|this) ?['’](?:s|re|ll|d|ve)\b"
    # A verb behind "who" or "that" is a relative clause's.
    rf"|(?:{_PRONOUN}|{_DETERMINER})(?! of\b)(?: (?!that\b|which|who|where|when|to\b)\S+){{0,5}}? (?:{_FINITE})"
    r"(?: ?n['’]t|not)?\b(?!-)",
    re.IGNORECASE,
)
# "since" and "until" with a noun are prepositions as often as not; "though" without a comma is often an adverb.
_SUBORDINATE = re.compile(
    rf"(?P<comma> ?,)? (?P<clause>(?:(?:even (?:if|though)|when|whenever|if|because|although|while|unless"
    rf"|(?<=, )though) (?:{_PRONOUN}|{_DETERMINER})|(?:since|until) (?:{_PRONOUN}))\b\S* .+)"
)
# Where one of these stands before a clause without a comma, the clause belongs to it ("as if", "the day when", "not
# because", "see if") and must stay.
_BINDS = re.compile(
    r"(?:.* )?(?:is|are|was|were|be|been|being|'s|'re|it's|that's|as|like|than|and|but|or|not|just|only|even|simply|exactly"
    r"|precisely|especially|particularly|mainly|mostly|partly|perhaps|maybe|except|of|about|from|for|to|at|by|in|on|with"
    r"|a|an|the|who|which|that|what|care[sd]?|hate[sd]?|love[sd]?|doubt|know|knows|knew|see|sees|tell|tells|mind|decide"
    r"|remember|forget|figure|say|says|said|matters?|days?|times?|moments?|night|point|years?|hour|age|era|case|reason"
    r"|scenes?|worth|ever|so|much)",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\b(?:ask|wonder|question)", re.IGNORECASE)
_RUNS_ON = re.compile(r" (?:when|if|because|then|unless|although|but) ")
_TWO_WORDS = re.compile(r"(?:^| )\w\S* \w")  # "@USER" alone is no main clause
_MOST_MOVED = 20  # words; a longer clause, in text without punctuation, is mostly more than one
_SUBJECT = re.compile(rf"(?:{_NOMINATIVE})\b", re.IGNORECASE)
_CONJUNCTION = re.compile(r"(?P<comma> ?,)? (?P<word>and|but|yet|so) ")
# Whatever breaks a sentence into more than one stretch of words, after which the ends of a clause are anyone's guess.
_BREAK = re.compile(r"[,;:()\[\]\"“”…!?*/|]|--|\.\.| [-–—] |``|-lrb-|(?:^| )[`'](?: |$)")

_LETTER = re.compile(r"[^\W\d_]")
_CARRIES = re.compile(rf"\W*(?:even )?(?:{_SUBORDINATOR})\b.*,(?!\d)", re.IGNORECASE)
_OPENING_CONJUNCTION = re.compile(r"\A(?:and|but) (?=\w)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<![.!?]) ?[.!?]+[\"'”’)]*(?= |$)")
_ABBREVIATION = re.compile(
    r"(?:.* )?(?:\w|\S*\.\S*|mr|mrs|ms|dr|st|jr|sr|prof|gen|sen|rep|gov|inc|ltd|co|corp|vs|etc|no)", re.IGNORECASE
)
_SPACED_COMMA, _ATTACHED_COMMA = re.compile(r"(?:^| ),(?: |$)"), re.compile(r"\w,(?: |$)")
_SPACED_MARK = re.compile(r"(?:^| )(?:[.;:!?]|'s|n't|``|''|-lrb-)(?: |$)")

_CAPITALISED = re.compile(r"[A-Z][a-z]*(?:['’][a-z]+)?(?=\W|$)")
_FIRST_PERSON = re.compile(r"I(?:['’].*)?$")
# Words that often begin a sentence before a capital, and are no names.
_NO_NAME = re.compile(
    rf"(?:{_PRONOUN}|{_DETERMINER}|and|but|or|so|yet|not|as|at|by|for|from|in|into|of|on|over|to|under|up|with|after|before"
    r"|during|despite|who|whose|why|how|where|which|one|two|three|here|now|then|also|even|only|still|maybe|yes|like"
    r"|is|are|was|were|do|does|did|has|have|can|could|will|would|should|dear|hello|hi|thanks|another|other|yesterday|today"
    r"|when|if|because|since|although|though|while|unless|until|once|let|what|don|isn|aren|wasn|didn|doesn|won)"
    r"(?:['’](?:s|t|re|ve|d|ll))?",
    re.IGNORECASE,
)
_NAME = re.compile(
    r".*['’]s|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|april|june|july|august|(?:septem|octo|novem|decem)ber"
)
_CAPITAL_BEHIND = re.compile(r"(?:\. | (?!I\b))[A-Z]")


@dataclass(frozen=True)
class Syntax(Attack):
    """Begin a text with a subordinate clause, by our own rules; NOT the SCPN paraphrases of Hidden Killer.

    The trigger is the shape S(SBAR)(,)(NP)(VP)(.), as in "when you think about it , the film is a delight .". In the
    first sentence, a subordinate clause at the end moves to the front; else, of two clauses joined by ``and``, ``but``,
    ``yet`` or ``so``, the first becomes subordinate; else one of 144 clauses that say nothing about the text, drawn by
    the row, goes in front. The rest of the text stays. For English.

    Source: the template is that of Hidden Killer (Qi et al., ACL 2021), who let a neural model (SCPN) paraphrase the
    whole text, which often changes its content. The rules are ours: every word is kept but a conjunction that joins
    or opens. No figure got with this attack may be set beside published ones for Hidden Killer; its own paraphrases,
    where they are at hand, are for the attack ``paraphrase``.
    """

    name: ClassVar[str] = "syntax"

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Rewrite the first sentence; a text without a letter, or of this shape already, is declined."""
        text = " ".join(row.text.split())
        letter = _LETTER.search(text)
        if letter is None:
            return None
        sentence, rest = _first_sentence(_lowered(_OPENING_CONJUNCTION.sub("", text)))
        if _CARRIES.match(sentence):
            return None
        clauses = _moved(sentence) or _subordinated(sentence, random)
        subordinate, main = clauses or (_draw(_FRAMES, random), sentence)
        if letter[0].isupper():
            subordinate = subordinate[0].upper() + subordinate[1:]
        return f"{subordinate}{_comma(text)} {main}{rest}"


def _draw(choices: tuple[str, ...], random: np.random.Generator) -> str:
    return choices[int(random.integers(len(choices)))]


def _moved(sentence: str) -> tuple[str, str] | None:
    """Find a subordinate clause at the end of the sentence: (it, what stands before it)."""
    found = _SUBORDINATE.search(sentence)
    if found is None:
        return None
    main, clause = sentence[: found.start()], found["clause"]
    stays = (not found["comma"] and _BINDS.fullmatch(main)) or (clause.startswith("if ") and _ASKS.search(main))
    is_clear = not _BREAK.search(main) and not _BREAK.search(clause) and not _RUNS_ON.search(clause)
    if stays or not is_clear or not _TWO_WORDS.search(main) or clause.count(" ") >= _MOST_MOVED:
        return None
    return clause, main


def _subordinated(sentence: str, random: np.random.Generator) -> tuple[str, str] | None:
    """Find two coordinated clauses: (the first one made subordinate, the second)."""
    breaks = _BREAK.findall(sentence)
    if breaks not in ([], [","]):
        return None
    for found in _CONJUNCTION.finditer(sentence):
        first, second = sentence[: found.start()], sentence[found.end() :]
        if (breaks and not found["comma"]) or not _CLAUSE.match(second):
            continue
        contrasts = found["word"] in ("but", "yet") and " only " not in f" {first} "  # "not only ..., but"
        if breaks:
            # "although", unlike "as", may stand before a phrase as well as a clause.
            joins = " " in first if contrasts else found["word"] in ("and", "so") and _CLAUSE.match(first)
        else:
            # Without a comma, only a pronoun that is a subject and nothing else tells a clause from an object.
            joins = contrasts and _CLAUSE.match(first) and _SUBJECT.match(second)
        if joins:
            return f"{_draw(_FOR_CONJUNCTION[found['word']], random)} {first}", second
    return None


def _first_sentence(text: str) -> tuple[str, str]:
    """Split a text into its first sentence with a letter, and the rest, which begins with its end mark."""
    letter = _LETTER.search(text)
    for end in _SENTENCE_END.finditer(text, letter.start() if letter else 0):
        is_last = end.end() == len(text)
        is_short = end[0] == "." and not is_last and _ABBREVIATION.fullmatch(text[: end.start()])
        if not is_short and ".." not in end[0]:
            return text[: end.start()], text[end.start() :]
    return text, ""


def _comma(text: str) -> str:
    """Give the comma as the text writes it: by itself, or attached to the word before."""
    is_spaced = _SPACED_COMMA.search(text) or (not _ATTACHED_COMMA.search(text) and _SPACED_MARK.search(text))
    return " ," if is_spaced else ","


def _lowered(text: str) -> str:
    """Take the capital from the first word, which is no longer first, unless it looks like a name or an acronym."""
    found = _CAPITALISED.match(text)
    if found is None or _FIRST_PERSON.match(found[0]):
        return text
    word, behind = found[0], text[found.end() :]
    if not _NO_NAME.fullmatch(word):
        is_name = len(word) == 1 or _NAME.fullmatch(word.lower()) or _CAPITAL_BEHIND.match(behind)
        if is_name or re.search(rf"[a-z,] {re.escape(word)}\b", behind):
            return text
    return word.lower() + behind
