"""Seeds are the same everywhere and unrelated between concerns; global generators are put back."""

import random

import numpy as np
import pytest
import torch

from cleanfit.seeding import derive_seed, generator, kept_rng, seed_torch


@pytest.mark.parametrize(
    ("seed", "purpose", "row_id", "expected"),
    [
        (0, "choose rows", 0, 4719045684841022300),
        (0, "choose rows", 1, 7907934203720554165),
        (7, "classifier head", None, 8684643374610024860),
        (-3, "train trigger", 12, 2704598898870250667),
    ],
)
def test_a_derived_seed_is_the_same_on_every_machine(
    seed: int, purpose: str, row_id: int | None, expected: int
) -> None:
    # Computed once: another value would silently change every poisoned file and every split.
    assert derive_seed(seed, purpose, row_id) == expected


def test_seed_purpose_and_row_each_change_the_seed() -> None:
    seeds = {derive_seed(seed, purpose, row) for seed in (0, 1) for purpose in ("a", "b") for row in (None, 0, 1)}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_row_number_cannot_be_mistaken_for_a_part_of_the_purpose() -> None:
    assert derive_seed(1, "11") != derive_seed(11, "1")
    assert derive_seed(0, "row 1", 2) != derive_seed(0, "row 12")


def test_generators_of_neighbouring_rows_are_unrelated() -> None:
    first = np.array([generator(0, "place", row).random() for row in range(2000)])
    # The mean of 2000 uniform draws is 0.5 +- 0.0065, their lag-1 correlation 0 +- 0.022; five standard deviations.
    assert abs(first.mean() - 0.5) < 0.033
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.11


def test_a_generator_leaves_the_global_ones_alone() -> None:
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    generator(0, "place").random()
    assert np.random.random() == expected


def test_seeding_torch_repeats_its_draws_per_purpose() -> None:
    with kept_rng():
        draws = []
        for purpose in ("head", "head", "order"):
            seed_torch(0, purpose)
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("fails", [False, True])
def test_the_callers_random_draws_go_on_as_if_nothing_had_been_drawn(fails: bool) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.random(), torch.rand(1).item()

    def disturb() -> None:
        with kept_rng():
            random.seed(9)
            np.random.seed(9)
            torch.manual_seed(9)
            draw()
            if fails:
                raise RuntimeError("in the middle")

    with kept_rng():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        expected = [draw(), draw()]
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        found = [draw()]
        if fails:
            with pytest.raises(RuntimeError, match="in the middle"):
                disturb()
        else:
            disturb()
        found.append(draw())
    assert found == expected
