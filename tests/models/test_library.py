import subprocess
import sys
from pathlib import Path

from tests.models.tiny_model import build_model

PROGRAM = """
import sys
from pathlib import Path

from punie.models.mlx.engine import Engine
from punie.models.mlx.library import load_model

model, config = load_model(Path(sys.argv[1]))
print(type(model).__module__, config["model_type"], "transformers" in sys.modules)
import mlx_lm
assert "transformers" not in sys.modules
from mlx_lm.utils import load
tokenizer = load(sys.argv[1])[1]
print(type(tokenizer).__module__, "transformers" in sys.modules)
print(mlx_lm.load is load, mlx_lm.stream_generate.__module__, hasattr(mlx_lm, "nothing"))
again, _ = load_model(Path(sys.argv[1]))
print(type(again) is type(model), mlx_lm.utils.__name__)
"""


def test_a_model_is_loaded_without_transformers_and_mlx_lm_stays_whole(tmp_path: Path) -> None:
    model = build_model(tmp_path / "model")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == [
        "mlx_lm.models.qwen3 qwen3 False",
        "mlx_lm.tokenizer_utils True",
        "True mlx_lm.generate False",
        "True mlx_lm.utils",
    ]
