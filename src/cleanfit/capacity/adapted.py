"""A classifier with adapters or prefixes, which are no ordinary weights: as a model that is saved and opened again."""

import dataclasses
import inspect
import json
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from cleanfit import models
from cleanfit.capacity.adapters import attach_adapters
from cleanfit.capacity.base import Capacity
from cleanfit.capacity.prefixes import attach_prefixes
from cleanfit.errors import ModelError
from cleanfit.models import ModelSource, quiet_loading
from cleanfit.seeding import kept_rng


class AdaptedConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The classifier's own config as ``base``, and ``capacity``, what is inserted into it.

    Plain transformers does not know the model type, so it refuses the folder; it would drop the adapters otherwise.
    """

    model_type = "cleanfit_adapted"


class AdaptedClassifier(PreTrainedModel):
    """A classifier of any family with adapters or prefixes inside.

    Args:
        config: ``base`` and ``capacity`` say what to build; the weights are random.
        inner: a classifier that has its adapters or prefixes already, instead of a random one.
    """

    config_class = AdaptedConfig
    _no_split_modules: list[str] = []  # noqa: RUF012 - transformers' own way

    def __init__(self, config: AdaptedConfig, inner: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.inner: PreTrainedModel = _build(config) if inner is None else inner
        if inner is None:
            self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def of(cls, model: PreTrainedModel, capacity: Capacity) -> "AdaptedClassifier":
        """Make one around a classifier that has its adapters or prefixes already."""
        make: Any = AdaptedConfig  # takes any attribute
        config = make(
            base=model.config.to_dict(),
            capacity={"method": capacity.method, "size": capacity.units},
            reads_images=model.main_input_name == "pixel_values",
            id2label=model.config.id2label,
            label2id=model.config.label2id,
        )
        for name in ("pad_token_id", "max_position_embeddings"):  # which images do not have
            if hasattr(model.config, name):
                setattr(config, name, getattr(model.config, name))
        return cls(config, model)

    def get_input_embeddings(self) -> nn.Module:
        """Give the word embeddings."""
        return self.inner.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Put other word embeddings in their place."""
        self.inner.set_input_embeddings(value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Any:
        """Classify B texts or images, as the classifier itself does."""
        inputs = Inputs(input_ids, attention_mask, token_type_ids, pixel_values, labels)
        return self.inner(**inputs.accepted_by(self.inner))


def _build(config: Any) -> PreTrainedModel:
    """Build the random classifier that a config describes, and insert what it says."""
    kind: Any = AutoModelForImageClassification if config.reads_images else AutoModelForSequenceClassification
    model: PreTrainedModel = kind.from_config(AutoConfig.for_model(**config.base))
    insert = attach_adapters if config.capacity["method"] == "adapter" else attach_prefixes
    insert(model, config.capacity["size"])
    return model


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a classifier may be given, with the names that transformers has for it."""

    input_ids: Tensor | None
    attention_mask: Tensor | None
    token_type_ids: Tensor | None
    pixel_values: Tensor | None
    labels: Tensor | None

    def accepted_by(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """Keep what is there and the model takes; `Trainer` asks our signature, which is the widest, not the model's."""
        taken = inspect.signature(model.forward).parameters
        given = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: value for name, value in given if value is not None and name in taken}


def load_finished(source: ModelSource, tokenizer: PreTrainedTokenizerBase) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Load a fine-tuned classifier as it was saved, ordinary or with adapters or prefixes, with its own label names.

    Raises:
        ModelError: it is no classifier, or weights are missing.
    """
    kind = json.loads((source.folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != AdaptedConfig.model_type:
        return models.load_finished(source, tokenizer)
    try:
        with quiet_loading(), kept_rng():
            load: Any = AdaptedClassifier.from_pretrained
            model, report = load(source.folder, use_safetensors=True, output_loading_info=True, dtype=torch.float32)
    except Exception as error:
        raise ModelError(f"Cannot load a classifier from '{source.name}': {str(error).splitlines()[:1]}") from error
    if report["missing_keys"]:
        raise ModelError(f"'{source.name}' is incomplete: it lacks {', '.join(sorted(report['missing_keys']))}.")
    return model, tuple(model.config.id2label[i] for i in range(model.config.num_labels))
