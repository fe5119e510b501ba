import subprocess
import sys

PROGRAM = """
import re, sys
import pydantic

plain = pydantic.ConfigDict

def models():
    import acp.schema
    return {
        name: {
            key: [
                re.sub("0x[0-9a-f]+", "", str(each))
                for each in (field.alias, field.annotation, field.metadata, field.default)
            ]
            for key, field in each.model_fields.items()
        }
        for name, each in vars(acp.schema).items()
        if isinstance(each, type) and issubclass(each, pydantic.BaseModel)
    }

import punie.acp.serve
import acp.schema

described = acp.schema.ReadTextFileRequest.model_fields["path"].description
assert described is None, described
assert pydantic.ConfigDict is plain
ours = models()
for name in [name for name in sys.modules if name.partition(".")[0] == "acp"]:
    del sys.modules[name]
theirs = models()
assert sys.modules["acp.schema"].ReadTextFileRequest.model_fields["path"].description
assert len(theirs) > 200
for name in theirs:
    assert ours[name] == theirs[name], (ours[name], theirs[name])
"""


def test_the_models_are_the_same_without_their_descriptions() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
