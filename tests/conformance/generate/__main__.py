"""Write the vectors anew: `python -m tests.conformance.generate`."""

import sys

from tests.conformance.generate.files import texts
from tests.conformance.vector_files import FOLDER

FOLDER.mkdir(exist_ok=True)
for name, text in texts().items():
    (FOLDER / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{name}: {len(text)} bytes\n")
