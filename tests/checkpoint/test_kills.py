"""Whole jobs under seeded kills: killed, resumed and killed again until they are done, they end in the bits of an uncut run.

After each kill the newest generation is the last one whose manifest got its name: complete, and no older. Now and then
the newest one is damaged as well, and the job must go on from the one before.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from kills import RENAMED, SHAPES, Fate, life, passed

from shoal.checkpoint import commit, history, manifest
from shoal.checkpoint.generation import verify

AFTER = (RENAMED, "manifest.json durable", "latest", "best", "step")  # the commit
OUTSIDE = ("lease", "config")  # a save
DAMAGED = 0.2  # of the kills


class Campaign:
    """So many kills of jobs of one shape, drawn from `seed`, and the counts of what came of them."""

    def __init__(self, shape: str, folder: Path, seed: int):
        self.shape, self.folder, self.rng = shape, folder, np.random.default_rng(seed)
        self.passages = folder / "passages"
        self.spoiled: set[Path] = set()
        self.met: Counter[str] = Counter()  # kills by kind of boundary
        self.starts = self.runs = self.falls = self.lost = self.bad = 0
        assert not life(shape, folder / "whole", Fate(), self.passages)
        self.whole = digests(folder / "whole")
        self.usual = Counter(kind for kind, _ in passed(self.passages))
        self.deck = self.shuffled()

    def shuffled(self) -> list[str]:
        return [str(kind) for kind in self.rng.permutation(sorted(self.usual))]

    def wage(self, kills: int) -> None:
        """Runs after runs until so many kills have been met, and the last run to its end."""
        while self.met.total() < kills:
            self.runs += 1
            self.run(self.folder / f"run-{self.runs}", kills)

    def run(self, folder: Path, kills: int) -> None:
        """One run, through all its kills to its last step."""
        self.passages.unlink(missing_ok=True)
        killed, good = True, None
        while killed:
            if not self.deck:
                self.deck = self.shuffled()
            kind = self.deck.pop(0) if self.met.total() < kills else ""
            fate = Fate(kind, int(self.rng.integers(1, min(3, self.usual.get(kind, 1)) + 1)))
            before = len(passed(self.passages))
            killed = life(self.shape, folder, fate, self.passages)
            self.starts += 1
            for kind_passed, serial in passed(self.passages)[before:]:
                good = serial if kind_passed == RENAMED else good
                if kind_passed not in self.usual:  # what only a start after a kill comes to
                    self.usual[kind_passed] = 1
                    self.deck.append(kind_passed)
            if killed:
                self.met[kind] += 1
                good = self.judged(folder, good)
            elif kind:
                self.deck.append(kind)  # this start did not come there
        if digests(folder) != self.whole:
            self.bad += 1

    def judged(self, folder: Path, good: int | None) -> int | None:
        """Counts what is wrong after a kill; the serial the next start must go on from, after some damage by us."""
        found, heard = serial(folder)
        self.lost += (found or 0) < (good or 0)
        self.bad += (found or 0) > (good or 0) or not heard <= self.spoiled
        sound = [(known.serial, path) for known, path in history.readable(folder) if not verify(path)]
        if len(sound) < 2 or self.rng.random() > DAMAGED:
            return found
        (_, path), (before, _) = sound[:2]
        files = sorted(path.iterdir())
        spoil(files[int(self.rng.integers(len(files)))], self.rng)
        if not verify(path):  # a blank of the manifest, or 1e-5 that became 1E-5
            return found
        self.spoiled.add(path)
        found, heard = serial(folder)
        self.falls += path in heard
        self.lost += found != before
        return found

    def report(self) -> str:
        after = sum(count for kind, count in self.met.items() if kind.startswith(AFTER))
        outside = sum(count for kind, count in self.met.items() if kind.startswith(OUTSIDE))
        before = self.met.total() - after - outside
        where = f"{before} before a commit, {after} after it, {outside} outside a save"
        came = f"{self.falls} falls back, {self.lost} lost, {self.bad} bad"
        kinds = f"{self.met.total()} kills at {len(self.met)} kinds of boundary ({where})"
        return f"{self.shape}: {kinds}, {self.starts} starts of {self.runs} runs, {came}"


def serial(folder: Path) -> tuple[int | None, set[Path]]:
    """Of the newest generation that can be believed, and those that were passed over."""
    heard: set[Path] = set()
    newest = history.newest(folder, lambda path, problem: heard.add(path))
    return (newest.manifest.serial if newest else None), heard


def digests(folder: Path) -> list[str]:
    """Of the files of the newest generation: the bits of weights and optimizer."""
    newest = history.open_generation(folder)
    return sorted(file.sha256 for file in newest.manifest.files)


def spoil(file: Path, rng: np.random.Generator) -> None:
    """Flips a bit of a file, or ends it there."""
    data, at = bytearray(file.read_bytes()), int(rng.integers(file.stat().st_size))
    data[at] ^= 0x20
    file.write_bytes(data if rng.random() < 0.5 else data[:at])


def hold(campaign: Campaign, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    campaign.wage(kills)
    with capsys.disabled():
        print(f"\n{campaign.report()}")
    assert campaign.met.total() == kills
    assert (campaign.lost, campaign.bad) == (0, 0)


@pytest.mark.parametrize(("shape", "kills"), list(zip(SHAPES, (11, 4, 3, 2), strict=True)))
def test_twenty_kills(tmp_path, capsys, shape, kills):
    hold(Campaign(shape, tmp_path, seed=20), kills, capsys)


def test_a_manifest_written_in_place_is_found_out(tmp_path, monkeypatch):
    """The counts above can be other than 0."""
    publish = commit.publish

    def careless(path, write):
        publish(path, write)
        if path.name == manifest.NAME:
            text = path.read_bytes()
            path.write_bytes(text[: len(text) // 2])
            commit.boundary("manifest.json rewritten")
            path.write_bytes(text)

    monkeypatch.setattr(commit, "publish", careless)
    campaign = Campaign("one process", tmp_path, seed=1)
    campaign.deck = ["manifest.json rewritten"]
    campaign.wage(1)
    assert campaign.bad


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_three_hundred_kills_at_every_kind_of_boundary(tmp_path_factory, capsys):
    for shape, kills in dict(zip(SHAPES, (90, 80, 80, 50), strict=True)).items():
        campaign = Campaign(shape, tmp_path_factory.mktemp("kills"), seed=300)
        hold(campaign, kills, capsys)
        assert campaign.met.keys() == campaign.usual.keys(), "a kind of boundary that nobody was killed at"
        assert campaign.falls
