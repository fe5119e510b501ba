"""Every study there is, by name."""

from collections.abc import Mapping

from punie.training.studies.discrimination import DISCRIMINATION
from punie.training.studies.distillation import DISTILLATION
from punie.training.studies.formats import FORMATS
from punie.training.studies.new_tool import NEW_TOOL
from punie.training.studies.quantization import QUANTIZATION
from punie.training.studies.study import Study

_ALL = (NEW_TOOL, DISCRIMINATION, QUANTIZATION, DISTILLATION, FORMATS)

STUDIES: Mapping[str, Study] = {study.name: study for study in _ALL}
