"""What is tuned, a function or a cell, made callable on a worker."""

from nbtune.objective.base import Objective
from nbtune.objective.cell import from_cell
from nbtune.objective.function import from_function, tunable
from nbtune.objective.payload import Payload
from nbtune.objective.payload import write as write_payload

__all__ = ["Objective", "Payload", "from_cell", "from_function", "tunable", "write_payload"]
