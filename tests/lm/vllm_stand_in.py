"""What a test runs in the place of vLLM's interpreter: `promptcot serve` behind vLLM's arguments."""

from __future__ import annotations

import argparse

from promptcot.lm.serve import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-m")
    for name in ("--host", "--served-model-name", "--model", "--dtype"):
        parser.add_argument(name)
    parser.add_argument("--port", type=int)
    given, _ = parser.parse_known_args()
    main(given.model, given.host, given.port, given.served_model_name, None, "", given.dtype, "cpu", 16384)
