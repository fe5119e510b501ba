from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model
from punie.models.mlx.model import MlxModel
from tests.models.families import FamilyDirectories
from tests.models.tiny_model import build_model, teach


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "random-qwen3")


@pytest.fixture(scope="session")
def family_directories(tmp_path_factory: pytest.TempPathFactory) -> FamilyDirectories:
    """Small random models of every family, built when a test first asks for one."""
    return FamilyDirectories(tmp_path_factory.mktemp("families"))


@pytest.fixture
async def model(model_directory: Path) -> AsyncIterator[MlxModel]:
    opened = await open_model(resolve_model(str(model_directory)))
    assert isinstance(opened, MlxModel)
    yield opened
    await close_models()


@pytest.fixture(scope="session")
def taught_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = build_model(tmp_path_factory.mktemp("models") / "taught-qwen3")
    teach(directory)
    return directory


@pytest.fixture
async def taught(taught_directory: Path) -> AsyncIterator[MlxModel]:
    opened = await open_model(resolve_model(str(taught_directory)))
    assert isinstance(opened, MlxModel)
    yield opened
    await close_models()
