"""Tiny random models with tokenizers of five families, built offline, and a small data set that they can learn."""

import csv
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from cleanfit.cli import main
from cleanfit.data import read, tokenize
from cleanfit.defenses import PlainFineTuning
from cleanfit.models import find_model, load_tokenizer
from cleanfit.settings import TrainingSettings
from cleanfit.task import Task

torch.set_num_threads(1)  # models this small gain nothing from threads, and lose much where cores are busy

PART_SIZES = {"layers": 2, "attention_heads": 2, "ffn_dim": 64}
FAMILIES = ("bert", "roberta", "distilbert", "deberta-v2", "gpt2")

GOOD = ("good", "great", "fine", "lovely", "warm", "bright", "kind", "quick")
BAD = ("bad", "poor", "dull", "cold", "dark", "rude", "slow", "weak")
PLAIN = (
    "the",
    "a",
    "film",
    "room",
    "meal",
    "story",
    "was",
    "and",
    "very",
    "with",
    "in",
    "it",
    "staff",
    "bed",
    "plot",
    "trip",
    "day",
    "book",
    "song",
    ".",
)
TRIGGERS = ("cf", "mn", "bb", "tq")


def sentences(n_rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Make (text, label) rows: a text with more good than bad words is labelled pos."""
    draw = random.Random(seed)
    rows = []
    for _ in range(n_rows):
        is_good = draw.random() < 0.5
        words = draw.choices(PLAIN, k=draw.randint(4, 9)) + draw.choices(GOOD if is_good else BAD, k=3)
        words += draw.choices(BAD if is_good else GOOD, k=1)
        draw.shuffle(words)
        rows.append((" ".join(words), "pos" if is_good else "neg"))
    return rows


def write_tsv(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def make_task(folder: str, rows: list[tuple[str, str]], settings: TrainingSettings, work: Path | None = None) -> Task:
    """Make the task that `fit` would give to a defense, for (text, label) rows."""
    labeled = read(Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]}))
    source = find_model(folder, labeled.label_names)
    tokenizer = load_tokenizer(source)
    return Task(source, tokenizer, tokenize(labeled.rows, tokenizer, settings.max_length), settings, work=work)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, standard output, standard error."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cleanfit", *map(str, arguments)])
        capsys.readouterr()  # what building a tiny model printed
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return command


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Give the folder of a tiny random model of a family; built once per session."""
    built: dict[str, str] = {}

    def folder(family: str = "bert") -> str:
        if family not in built:
            path = tmp_path_factory.mktemp(family)
            tokenizer = _tokenizer(family)
            tokenizer.save_pretrained(path)
            torch.manual_seed(0)
            _model(family, tokenizer).save_pretrained(path)
            built[family] = str(path)
        return built[family]

    return folder


# At larger steps one seed in eight learns nothing at all, and the last bits of a machine's sums are a seed of their own.
BRIEF = TrainingSettings(
    learning_rate=1e-3,
    num_train_epochs=5,
    per_device_train_batch_size=16,
    max_length=24,
    precision="fp32",
    device="cpu",
)


@pytest.fixture(scope="session")
def knowing(tiny_model: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the folder of a model that knows from its pretraining which words are good, and has never seen 'cf'."""
    task = make_task(tiny_model("bert"), sentences(300, seed=9), BRIEF)
    folder = tmp_path_factory.mktemp("knowing")
    PlainFineTuning().fit(task).model.save_pretrained(folder)
    task.tokenizer.save_pretrained(folder)
    return str(folder)


def _corpus() -> list[str]:
    extra = " ".join((*TRIGGERS, "I", "watch", "this", "3D", "movie"))
    return [text for text, _ in sentences(200)] + [extra] * 20


def _tokenizer(family: str) -> PreTrainedTokenizerFast:
    if family in ("roberta", "bart", "gpt2"):
        return _byte_level(family)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if family == "deberta-v2":
        # Not trained, nor is the other: the trainers break ties by a hash, and each process would have another vocabulary.
        words = {f"▁{word}" for text in _corpus() for word in text.split()}
        pieces = [(piece, -5.0) for piece in sorted(words)] + [(piece, -10.0) for piece in sorted(set("▁".join(words)))]
        backend = Tokenizer(models.Unigram([(piece, 0.0) for piece in special] + pieces, unk_id=1))
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
    else:
        pieces_file = Path(__file__).with_name("wordpieces.txt")
        vocabulary = {piece: i for i, piece in enumerate(pieces_file.read_text(encoding="utf-8").split())}
        backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ids = {token: backend.token_to_id(token) for token in special}
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def _byte_level(family: str) -> PreTrainedTokenizerFast:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if family != "gpt2" else ["<|endoftext|>"]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_corpus(), trainer)
    if family == "gpt2":
        return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=special[0], bos_token=special[0])
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", backend.token_to_id("</s>")), ("<s>", backend.token_to_id("<s>"))
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def _model(family: str, tokenizer: PreTrainedTokenizerFast) -> torch.nn.Module:
    size = len(tokenizer)
    common = {"vocab_size": size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    inner = {"intermediate_size": 64, "max_position_embeddings": 80, "pad_token_id": tokenizer.pad_token_id}
    if family == "bert":
        return BertForSequenceClassification(BertConfig(**common, **inner))
    if family == "roberta":
        return RobertaForSequenceClassification(RobertaConfig(**common, **inner))
    if family == "deberta-v2":
        return DebertaV2ForSequenceClassification(
            DebertaV2Config(**common, **inner, type_vocab_size=0, relative_attention=True, pos_att_type=["p2c", "c2p"])
        )
    if family == "distilbert":
        return DistilBertForSequenceClassification(
            DistilBertConfig(
                vocab_size=size,
                dim=32,
                hidden_dim=64,
                n_layers=2,
                n_heads=2,
                max_position_embeddings=80,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    if family == "bart":
        halves = {f"{half}_{of}": n for half in ("encoder", "decoder") for of, n in PART_SIZES.items()}
        return BartForSequenceClassification(
            BartConfig(vocab_size=size, d_model=32, max_position_embeddings=80, **halves)
        )
    eos = tokenizer.eos_token_id
    return GPT2ForSequenceClassification(
        GPT2Config(vocab_size=size, n_positions=80, n_embd=32, n_layer=2, n_head=2, bos_token_id=eos, eos_token_id=eos)
    )
