"""What the audit says of a run beyond the numbers themselves."""

from cleanfit.audit import HeldOut, losses
from cleanfit.results import StageScore


def test_a_stage_that_loses_accuracy_is_told_and_a_small_loss_is_not() -> None:
    trusted = HeldOut("dev.csv", "0", 500, is_untrusted=False)
    scores = [StageScore("trained", 0.90, 500), StageScore("unlearned", 0.86, 500), StageScore("tuned", 0.84, 500)]
    (told,) = losses(scores, trusted)
    assert told.startswith("Stage 'unlearned' lost 4.0 points of accuracy; honest words were probably erased")
    assert "--set ignore" in told
    assert losses(scores[1:], trusted) == []
    assert losses([StageScore("trained", 0.80, 500), StageScore("unlearned", 0.90, 500)], trusted) == []


def test_on_untrusted_rows_a_loss_is_told_with_its_other_reason() -> None:
    untrusted = HeldOut("10% of data.csv", "0", 50, is_untrusted=True)
    (told,) = losses([StageScore("trained", 0.95, 50), StageScore("unlearned", 0.85, 50)], untrusted)
    assert "losing the poisoned ones among them is right" in told
