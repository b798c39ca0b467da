"""What the authors' code saves of their network, for all tests of this folder."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.authors_classes import convAE, meta_trained, save, trained


@pytest.fixture(scope="session")
def module():
    """The whole published network, seeded; not to be changed."""
    torch.manual_seed(4)
    return convAE()


@pytest.fixture(scope="session")
def files(module, tmp_path_factory):
    """What Train.py and Train_meta.py save of it, in both formats."""
    folder = tmp_path_factory.mktemp("authors")
    contents = {"model": trained(module), "meta": meta_trained(module)}
    names = [(name, old) for name in contents for old in (True, False)]
    return {
        (name, old): save(folder / f"{name}-{old}.pth", contents[name], old=old)
        for name, old in names
    }
