"""Every planted fault is caught by the law that is there for it, and by what the law says of it."""

import pytest
import torch
from torch import nn

from foglight.losses.base import DistillationLoss

from .faults import FAULTS, naive_training
from .laws import LAWS, check_teacher_is_frozen
from .subject import Subject

BY_NAME = {law.__name__.removeprefix("check_"): law for law in LAWS}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault_is_caught(fault: type[DistillationLoss]) -> None:
    law, message = FAULTS[fault]
    with pytest.raises(AssertionError, match=message):
        BY_NAME[law](Subject(fault.__name__, fault))


@pytest.mark.parametrize("train_mode", [False, True])
@pytest.mark.parametrize("train_both", [False, True])
def test_only_a_frozen_teacher_passes(train_mode: bool, train_both: bool) -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        student, teacher = network(), network()

        def train() -> None:
            naive_training(student, teacher, teacher_in_train_mode=train_mode, train_both=train_both)

        if not train_mode and not train_both:
            check_teacher_is_frozen(train, teacher)
            return
        with pytest.raises(AssertionError, match="the teacher's"):
            check_teacher_is_frozen(train, teacher)
