"""Metrics: the same as scikit-learn's, and the same to the last bit however the samples lie on ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import sklearn_metrics

from shoal.core.errors import UsageError
from shoal.core.partition import Partition
from shoal.mpi.alone import Alone
from shoal.mpi.gather import gather
from shoal.mpi.threads import run
from shoal.train import confusion, start
from shoal.train.metrics import Metrics, area, auc, f1, places, softmax, words
from shoal.train.progress import Silent
from shoal.train.sampler import in_batches

ALL = ("accuracy", "top5", "f1", "auc", "perplexity", "confusion")


def outputs(terms: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(z, labels): scores of few digits, so that some are equal; better than chance, and class 1 never predicted."""
    rng = np.random.default_rng([seed, terms, classes])
    labels = rng.integers(0, classes, terms)
    z = np.round(rng.standard_normal((terms, classes)), 1)
    z[np.arange(terms), labels] += 1
    z[:, 1] -= 9 * (classes > 2)
    return z, labels


def evaluated(z: np.ndarray, labels: np.ndarray, wanted: Any = ALL, ranks: int = 1, batch: int = 7) -> list[Any]:
    """The figures that each of so many ranks finds, in batches of which the last is ragged; rank 1 takes half as much."""
    partition = Partition.of([1, 0.5, 1][:ranks], ranks)

    def program(communicator: Any) -> Any:
        metrics = Metrics(wanted, "", z.shape[1:], labels[:0], communicator)
        for samples in in_batches(np.arange(len(z)), batch):
            mine = samples[slice(*partition.bounds(len(samples), communicator.rank))]
            if len(mine):
                metrics.observe(mine, z[mine], labels[mine])
        return metrics.figures(0.5)

    return run(ranks, program)


def test_all_figures_are_those_of_scikit_learn() -> None:
    sk, (z, labels) = sklearn_metrics(), outputs(60, 7)
    (found,) = evaluated(z, labels)
    predicted, everything = z.argmax(axis=1), range(7)
    assert found["accuracy"] == sk.accuracy_score(labels, predicted)
    assert found["confusion"] == sk.confusion_matrix(labels, predicted, labels=everything).tolist()
    assert found["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"), rel=1e-14)
    for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score)):
        theirs = score(labels, predicted, average=None, labels=everything, zero_division=np.nan)
        assert [np.nan if share is None else share for share in found[name]] == pytest.approx(theirs, nan_ok=True)
    area_under = sk.roc_auc_score(labels, softmax(z), multi_class="ovr", average="macro", labels=everything)
    assert found["auc"] == pytest.approx(area_under, rel=1e-13)
    assert found["perplexity"] == np.exp(0.5)


def test_top5_is_that_of_scikit_learn_where_no_scores_are_equal() -> None:
    sk, (z, labels) = sklearn_metrics(), outputs(60, 7)
    z += 1e-6 * np.random.default_rng(1).standard_normal(z.shape)
    (found,) = evaluated(z, labels, ["top5"])
    assert found["top5"] == sk.top_k_accuracy_score(labels, z, k=5)


def test_the_area_of_two_classes_is_that_of_scikit_learn_and_counts_ties_half() -> None:
    sk, (z, labels) = sklearn_metrics(), outputs(40, 2)
    assert len(np.unique(z[:, 1] - z[:, 0])) < 40
    assert evaluated(z, labels, ["auc"])[0]["auc"] == pytest.approx(
        sk.roc_auc_score(labels, softmax(z)[:, 1]), rel=1e-14
    )
    assert area(np.array([1.0, 1.0, 0.0]), np.array([True, False, False])) == 0.75


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_find_what_one_finds_to_the_last_bit(ranks: int) -> None:
    z, labels = outputs(52, 6)
    (alone,) = evaluated(z, labels)
    assert evaluated(z, labels, ranks=ranks, batch=5) == [alone] * ranks  # 52 = 10 * 5 + 2: a rank may have nothing


def test_a_sample_counted_twice_would_be_seen() -> None:
    z, labels = outputs(52, 6)
    twice = np.append(np.arange(52), 51)
    assert evaluated(z[twice], labels[twice]) != evaluated(z, labels)


def test_positions_of_sequences_are_terms() -> None:
    z, labels = outputs(60, 6)
    (found,) = evaluated(z.reshape(12, 5, 6), labels.reshape(12, 5))
    assert found == evaluated(z, labels)[0]


@pytest.mark.parametrize("place", [(), (1,)], ids=["labels (N,)", "labels (N, 1)"])
def test_one_output_is_the_score_of_class_1_of_two(place: tuple[int, ...]) -> None:
    z, labels = outputs(30, 2)
    one = (z[:, 1] - z[:, 0])[:, np.newaxis]
    (found,), (both,) = evaluated(one, labels.reshape(30, *place)), evaluated(z, labels)
    assert found.pop("auc") == pytest.approx(both.pop("auc"))
    assert found == both


def test_labels_that_name_no_class_are_left_out() -> None:
    z, labels = outputs(30, 6)
    masked = np.where(np.arange(30) < 20, labels, -1)
    assert evaluated(z, masked) == evaluated(z[:20], labels[:20])


def test_a_label_that_the_loss_ignores_is_no_term() -> None:
    """A class to ignore counted as wrong wherever something else had been predicted, which is everywhere."""
    metrics = Metrics(["accuracy"], "", (3,), np.zeros(0, int), Alone(), ignore=0)
    assert metrics.observe
    metrics.observe(np.arange(3), np.array([[0, 1, 0], [0, 1, 0], [0, 0, 1.0]]), np.array([1, 0, 1]))
    assert metrics.figures(0.1)["accuracy"] == 0.5


def test_equal_scores_go_to_the_lower_class_and_a_nan_is_never_right() -> None:
    z = np.array([[1, 1, 0], [1, 1, 0], [0, np.nan, 1], [np.nan, 0, 0]], float)
    assert places(z, np.array([0, 1, 2, 0])).tolist() == [0, 1, 1, 3]


def test_what_cannot_be_compared_is_no_number() -> None:
    p, nobody = np.array([[0.2, 0.8], [0.6, 0.4]]), np.zeros(2)
    assert np.isnan(auc(p, nobody)) and np.isnan(auc(p * np.nan, np.array([0, 1])))
    assert f1(np.zeros((2, 2), int))["precision"] == [None, None]
    metrics = Metrics(["accuracy", "f1", "auc"], "", (3,), np.zeros(0, int), Alone())
    assert all(np.isnan(metrics.figures(0.1)[name]) for name in ("accuracy", "f1", "auc"))


def test_none_asked_for_means_accuracy_where_targets_are_classes() -> None:
    z, labels = outputs(30, 6)
    assert list(evaluated(z, labels, [])[0]) == ["test_loss", "accuracy"]
    regression = Metrics([], "", (6,), np.zeros((0, 6), np.float32), Alone())
    assert regression.figures(0.25) == {"test_loss": 0.25} and regression.observe is None
    assert Metrics([], "f1", (6,), labels, Alone()).wanted == ("accuracy", "f1")  # what the best is chosen by


@pytest.mark.parametrize("target", [np.zeros((0, 6), np.float32), np.zeros((0, 4), np.int64)])
def test_figures_of_classes_are_refused_where_there_are_none(target: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"train.metrics = auc, f1 needs classes, but a sample has outputs \(6,\)"):
        Metrics(["auc", "f1", "perplexity"], "", (6,), target, Alone())
    with pytest.raises(UsageError, match="5000 classes: 4096 are the most"):
        Metrics(["confusion"], "", (5000,), np.zeros(0, int), Alone())


def test_figures_are_words_for_a_person() -> None:
    (found,) = evaluated(*outputs(60, 6))
    assert [name for name, _ in words(found)] == [
        "test loss",
        "test accuracy",
        "test top-5 accuracy",
        "test macro F1",
        "test AUC",
        "test perplexity",
    ]
    assert words({"accuracy": 0.97225, "confusion": []}) == [("test accuracy", "97.22%")]


def test_a_confusion_of_few_classes_is_shown_whole_and_of_many_its_worst(capsys: pytest.CaptureFixture[str]) -> None:
    from shoal.train.terminal import console

    console().print(confusion.table([[8, 2], [0, 5]]))
    few = capsys.readouterr().out
    assert "80%" in few and "71%" in few and "precision" in few and "recall" in few
    many = np.diag(np.full(30, 9))
    many[4, 17] = 3
    console().print(confusion.table(many.tolist()))
    shown = capsys.readouterr().out
    assert [cell.strip() for cell in shown.splitlines()[-2].split("│")[1:5]] == ["4", "17", "3", "25%"]


@pytest.mark.parametrize("ranks", [2, 3])
def test_an_evaluation_on_ranks_is_that_on_one(trained: Path, ranks: int) -> None:
    """360 samples in batches of 50: the last has 10, and with these shares a rank has one or none of them."""
    settings = ["train.metrics=accuracy,top5,f1,auc,perplexity,confusion", "train.batch=50"]
    shares = f"parallel.shares={[1, 0.05, 1][:ranks]}"
    (alone,) = run(1, lambda comm: start.evaluate_checkpoint(str(trained), settings, comm, Silent()).figures)
    found = run(
        ranks, lambda comm: start.evaluate_checkpoint(str(trained), [*settings, shares], comm, Silent()).figures
    )
    assert all(figures == found[0] for figures in found) and sum(map(sum, alone["confusion"])) == 360
    for name, value in alone.items():  # the loss is rounded, tallies are not
        assert found[0][name] == (
            pytest.approx(value, rel=1e-6) if name in ("test_loss", "perplexity", "auc") else value
        )


def test_rows_are_gathered_in_rank_order_on_rank_0() -> None:
    def program(communicator: Any) -> Any:
        rows = np.full((communicator.rank, 2), communicator.rank, np.float32)  # rank 0 has none
        found = gather(communicator, rows, "rows")
        return None if found is None else found.tolist()

    assert run(3, program) == [[[1, 1], [2, 2], [2, 2]], None, None]
