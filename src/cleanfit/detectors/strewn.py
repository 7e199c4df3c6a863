"""Is a word strewn over its rows? One that was put anywhere stands beside anything; a written one keeps company ("ms dos")."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from cleanfit.detectors.phrases import gaps
from cleanfit.detectors.places import Places
from cleanfit.detectors.suspects import Evidence
from cleanfit.seeding import generator

N_DRAWN = 400  # times that a word is thrown into its rows anew
MIN_CHANCE = 0.02  # of triggers one in fifty is lost so
Neighbours = tuple[int, int]  # the tokens before and behind


def is_strewn(places: Places, suspect: Evidence) -> bool:
    """Tell whether the tokens beside a word repeat no more than they would at random places of the same rows.

    Args:
        places: knows where words begin.
        suspect: a run of tokens, with its rows.

    Returns:
        False if so many repeat less than once in fifty times by chance. It takes no model, and no label. Source: ours; the null
        is exact, a permutation of what an attacker does who puts a word at a random place of each row.
    """
    random = generator(places.task.settings.seed, f"strewn {suspect.token_id}")
    rows = places.task.rows.with_format(None)
    own, others = list[Neighbours](), list[list[Neighbours]]()
    for row in suspect.rows.tolist():
        ids = rows[row]["input_ids"]
        for start, end in gaps(ids, suspect.pieces)[:1]:
            rest = [*ids[:start], *ids[end:]]
            free = places.bounds(rest)
            if 0 < start < len(rest) and len(free):  # some tokenizers set no token before a row, or behind it
                own.append((rest[start - 1], rest[start]))
                others.append([(rest[place - 1], rest[place]) for place in free])
    if not own:
        return False
    chosen = np.array([random.integers(len(each), size=N_DRAWN) for each in others]).T  # (N_DRAWN, rows)
    drawn = [repeats([each[place] for each, place in zip(others, one)]) for one in chosen.tolist()]
    return bool(np.mean(np.array(drawn) >= repeats(own)) >= MIN_CHANCE)


def repeats(beside: Sequence[Neighbours]) -> int:
    """Count the pairs of rows with the same token before the word, and those with the same behind it."""
    return sum(n * (n - 1) // 2 for side in zip(*beside) for n in Counter(side).values())
