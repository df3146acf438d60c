"""RunConfig bound to every part that this installation has."""

from models._base import MODELS
from noise._base import NOISES
from spec.run import bind
from trainables.image_data._base import DATASETS
from trainables.methods._base import METHODS
from trainables.optimizers._base import OPTIMIZERS, SCHEDULES

RunConfig = bind(dataset=DATASETS, noise=NOISES, model=MODELS, method=METHODS, optimizer=OPTIMIZERS, schedule=SCHEDULES)
