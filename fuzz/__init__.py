"""Coverage-guided fuzzing with atheris, for a developer's machine: `make fuzz`. The promises are those of
`tests/fuzz/promises.py`, which the tests check with hypothesis; what is found here becomes an example there."""

from loguru import logger

logger.remove()
