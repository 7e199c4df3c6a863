"""Defaults < YAML < flags; unknown keys name the nearest; methods take options as text or as YAML gives them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from cleanfit.cli.options import method_options, resolve, training_settings
from cleanfit.defenses import PlainFineTuning, TokenUnlearning
from cleanfit.detectors import EmbeddingDrift
from cleanfit.errors import SettingsError
from cleanfit.settings import TrainingSettings, configure, load_yaml, lookup, merge, parse_pairs, unknown


@dataclass(frozen=True)
class Inner:
    """A method inside a method; `low` must not be above `high`."""

    low: int = 1
    high: int = 2
    name_of: str = "inner"

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise SettingsError(f"low is {self.low}, above {self.high}.")


@dataclass(frozen=True)
class Method:
    """One field of each type that a method may have."""

    count: int = 1
    share: float = 0.5
    is_on: bool = False
    words: tuple[str, ...] = ("a",)
    rounds: tuple[int, ...] = (1,)
    limit: int | None = 3
    mode: Literal["x", "y"] = "x"
    inner: Inner = field(default_factory=Inner)


def yaml_file(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def flags(**given: Any) -> dict[str, Any]:
    return {"epochs": None, "learning_rate": None, "batch_size": None, "model": None, "set": None, **given}


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    config = yaml_file(tmp_path, "learning_rate: 1e-3\nepochs: 7\nbatch_size: 4\nmodel: minilm\n")
    resolved = resolve(config, flags(epochs=2.0))
    settings = training_settings(resolved)
    assert settings.num_train_epochs == 2.0  # flag
    assert settings.learning_rate == 1e-3  # file, which YAML 1.1 gives as text
    assert settings.per_device_train_batch_size == 4  # file
    assert settings.max_length == 128  # default
    assert resolved["model"] == "minilm"


@pytest.mark.parametrize("name", ["epochs", "num_train_epochs"])
def test_a_setting_may_be_written_by_its_flag_or_by_its_long_name(name: str, tmp_path: Path) -> None:
    assert resolve(yaml_file(tmp_path, f"{name}: 7"), flags()) == {"num_train_epochs": 7}


def test_a_key_with_dashes_is_the_same_key(tmp_path: Path) -> None:
    assert resolve(yaml_file(tmp_path, "learning-rate: 0.1"), flags()) == {"learning_rate": 0.1}


def test_without_a_file_only_given_flags_are_set() -> None:
    assert resolve(None, flags(batch_size=8)) == {"per_device_train_batch_size": 8}


def test_an_unknown_key_in_the_file_names_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"Unknown setting 'learning_rat'\. Did you mean 'learning_rate'\?"):
        resolve(yaml_file(tmp_path, "learning_rat: 0.1"), flags())


def test_an_unknown_name_without_a_near_one_lists_the_known_ones() -> None:
    assert unknown("setting", "zzz", ["b", "a"]) == "Unknown setting 'zzz'. Known: a, b."


def test_a_later_layer_wins_unless_its_value_is_not_given() -> None:
    assert merge(["a", "b"], {"a": 1, "b": 1}, {"a": None, "b": 2}) == {"a": 1, "b": 2}
    assert merge(["a"], {"a": 1}, {"a": False}) == {"a": False}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a\n- b", "holds list"),
        ("a: [", "not valid YAML"),
        ("1: 2", "expected 'setting: value'"),
        ("\x00", "not valid"),
    ],
)
def test_a_settings_file_that_is_no_mapping_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        load_yaml(yaml_file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_an_empty_settings_file_sets_nothing_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    assert load_yaml(yaml_file(tmp_path, "# nothing\n")) == {}
    with pytest.raises(SettingsError, match="Cannot read the settings file"):
        load_yaml(tmp_path / "none.yaml")


def test_a_settings_file_runs_no_code(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not valid YAML"):
        load_yaml(yaml_file(tmp_path, "model: !!python/object/apply:os.getcwd []"))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", "12", 12),
        ("count", 12, 12),
        ("share", "2e-5", 2e-5),
        ("share", 1, 1.0),
        ("is-on", "True", True),
        ("is_on", "false", False),
        ("is_on", True, True),
        ("words", "cf, mn,", ("cf", "mn")),
        ("words", ["cf", "mn"], ("cf", "mn")),
        ("words", "", ()),
        ("rounds", "1,3", (1, 3)),
        ("rounds", [1, 3], (1, 3)),
        ("rounds", 3, (3,)),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", "", None),
        ("limit", "5", 5),
        ("mode", "y", "y"),
    ],
)
def test_a_value_is_converted_to_the_type_of_its_field(key: str, value: Any, expected: Any) -> None:
    configured = getattr(configure(Method(), {key: value}), key.replace("-", "_"))
    assert configured == expected
    assert type(configured) is type(expected)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", "1.5", "a whole number"),
        ("count", "1e3", "a whole number"),
        ("count", "True", "a whole number"),
        ("count", "many", "a whole number"),
        ("count", "", "a whole number"),
        ("count", "__import__('os')", "a whole number"),
        ("share", "half", "a number"),
        ("is_on", "yes", "true or false"),
        ("is_on", 1, "true or false"),
        ("rounds", "1,x", "a whole number"),
        ("limit", "x", "a whole number"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_was_expected(key: str, value: Any, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"^{key} is .*; expected {expected}."):
        configure(Method(), {key: value})


def test_an_option_of_a_nested_method_is_handed_on_to_it() -> None:
    configured = configure(Method(), {"high": "9", "count": "2", "name_of": "x"})
    assert configured == Method(count=2, inner=Inner(high=9, name_of="x"))


@pytest.mark.parametrize("options", [{"low": 5, "high": 9}, {"high": 9, "low": 5}])
def test_options_of_a_nested_method_are_checked_together_whatever_their_order(options: dict[str, int]) -> None:
    # Either alone may be refused: low=5 is above the default high.
    assert configure(Method(), options).inner == Inner(5, 9)


def test_an_unknown_option_names_the_nearest_one_nested_ones_included() -> None:
    with pytest.raises(SettingsError, match=r"Unknown option of TokenUnlearning 'alhpa'\. Did you mean 'alpha'\?"):
        configure(TokenUnlearning(), {"alhpa": "0.1"})


def test_options_reach_the_detector_inside_the_defense() -> None:
    configured = configure(TokenUnlearning(), {"alpha": "0.01", "replacement": "zero", "rounds": "1,3"})
    assert configured == TokenUnlearning(detector=EmbeddingDrift(alpha=0.01, rounds=(1, 3)), replacement="zero")


def test_a_preset_comes_first_and_single_options_win_over_it() -> None:
    configured = configure(TokenUnlearning(), {"alpha": "0.01", "preset": "published"})
    assert configured.scope == "dims"
    assert configured.detector.bag_batch_size == 256
    assert configured.detector.alpha == 0.01


def test_presets_that_are_not_there_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"Unknown preset of btu 'publishd'\. Did you mean 'published'\?"):
        configure(TokenUnlearning(), {"preset": "publishd"})
    with pytest.raises(SettingsError, match="PlainFineTuning has no presets"):
        configure(PlainFineTuning(), {"preset": "published"})


def test_a_choice_that_a_method_does_not_have_is_refused_by_the_method() -> None:
    with pytest.raises(SettingsError, match="scope is 'column'; expected one of dims, row"):
        configure(TokenUnlearning(), {"scope": "column"})


def test_a_method_is_looked_up_by_name_and_a_near_miss_is_told() -> None:
    assert lookup("defense", "plain", {"plain": PlainFineTuning}) is PlainFineTuning
    with pytest.raises(SettingsError, match=r"Unknown defense 'plan'\. Did you mean 'plain'\?"):
        lookup("defense", "plan", {"plain": PlainFineTuning})


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert parse_pairs(["a=1", " b = x=y ", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("pair", ["a", "=1", ""])
def test_a_pair_without_key_or_equals_sign_is_refused(pair: str) -> None:
    with pytest.raises(SettingsError, match="not of the form key=value"):
        parse_pairs([pair])


def test_pairs_win_over_the_set_block_whose_nested_blocks_are_flattened() -> None:
    stored = {"scope": "dims", "detector": {"alpha": 0.1, "rounds": [1]}}
    assert method_options(stored, ["alpha=0.2"]) == {"scope": "dims", "alpha": "0.2", "rounds": [1]}
    with pytest.raises(SettingsError, match="expected a block"):
        method_options("alpha=1", None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("num_train_epochs", 0),
        ("per_device_train_batch_size", 0),
        ("per_device_eval_batch_size", 0),
        ("max_length", 3),
        ("weight_decay", -0.1),
        ("max_grad_norm", -1.0),
        ("lr_scheduler_type", "cosine"),
        ("precision", "fp16"),
        ("device", "gpu"),
    ],
)
def test_training_settings_out_of_range_are_refused_with_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{name} is .*; expected"):
        TrainingSettings(**{name: value})


def test_training_settings_have_the_names_of_hugging_faces_training_arguments() -> None:
    from dataclasses import fields

    from transformers import TrainingArguments

    ours = {f.name for f in fields(TrainingSettings)} - {"max_length", "precision", "device"}
    assert ours <= {f.name for f in fields(TrainingArguments)}
