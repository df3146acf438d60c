"""Co-teaching: the schedule, the choice, and the exchange."""

import math
from pathlib import Path

import pytest
import torch

from tests.trainables.methods.builders import INDEX, Says, batch_of, make, never
from tests.trainables.runs import CPU, digits_run, record
from trainables.image_data.examples import load_splits
from trainables.learner import build_learner
from trainables.methods.co_teaching import Peers, forget_rate_at, small_losses
from trainables.world import World


def test_the_forget_rate_rises_to_its_end():
    rates = [forget_rate_at(epoch, 0.4, num_gradual=4, exponent=1) for epoch in (1, 2, 4, 9)]
    assert rates == pytest.approx([0.1, 0.2, 0.4, 0.4])
    assert forget_rate_at(2, 0.4, num_gradual=8, exponent=2) == pytest.approx(0.2)


def test_the_smallest_losses_are_chosen_rounded_down_and_never_none():
    losses = torch.tensor([3.0, 1.0, 2.0, 1.0, 5.0])
    assert small_losses(losses, 0.4).tolist() == [False, True, True, True, False]
    assert small_losses(losses, 0.5).tolist() == [False, True, False, True, False]
    assert small_losses(losses, 0.7).tolist() == [False, True, False, False, False]
    assert small_losses(losses, 0.99).sum() == 1


def test_each_network_learns_what_the_other_finds_easy():
    # Given labels 0, 1, 2, 1. The first network finds examples 0 and 1 easy, the second one 2 and 3.
    first = Says([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2], [0.4, 0.2, 0.4])
    second = Says([0.2, 0.4, 0.4], [0.4, 0.2, 0.4], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1])
    method = make("co_teaching", forget_rate=0.5, num_gradual=1)
    method.start_epoch(1, never)
    losses = method.losses(Peers(first, second), batch_of(INDEX))
    losses.mean().backward()
    # Mean over the two chosen, of each network, where all chosen ones have probability 0.2.
    assert losses.mean().item() == pytest.approx(2 * -math.log(0.2), rel=1e-6)
    assert (first.logits_BK.grad.abs().sum(1) > 0).tolist() == [False, False, True, True]
    assert (second.logits_BK.grad.abs().sum(1) > 0).tolist() == [True, True, False, False]


def test_the_two_networks_start_apart_and_the_first_where_cross_entropys_does(tmp_path: Path):
    run, plain = (digits_run(method=method) for method in ({"name": "co_teaching", "forget_rate": 0.4}, "ce"))
    peers, network = (build_learner(r, load_splits(r, tmp_path, CPU), World.alone(CPU)).model for r in (run, plain))
    for first, second, expected in zip(peers.first.parameters(), peers.second.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(first, expected, rtol=0, atol=0)
        if first.dim() > 1:
            assert not torch.allclose(first, second)


def test_both_networks_and_their_averages_are_evaluated(tmp_path: Path):
    run = digits_run(method={"name": "co_teaching", "forget_rate": 0.4}, ema={"decay": 0.9}, epochs=1)
    metrics = record(run, tmp_path)[1].epochs[1]
    losses = [metrics[f"{prefix}test_loss"] for prefix in ("", "peer_", "ema_", "ema_peer_")]
    assert len(set(losses)) == 4
