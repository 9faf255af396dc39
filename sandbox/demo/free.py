"""`python -m sandbox.demo.free MERCHANT/RMA`: do for a parked case of a running `make up` what frees it.

It says every request it sends: a ruling is made by an approver and carried out by an operator, as in real life.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import httpx2

from sandbox.samples.rows import Sample, load

ROOT = Path(__file__).resolve().parents[2]

Json = dict[str, Any]


def requests(sample: Sample) -> list[tuple[str, str, Json]]:
    """What frees the case: (role, path, body) one after another; `{ruling_id}` comes out of the first answer."""
    found: list[tuple[str, str, Json]] = []
    query = f"?merchant_id={sample.merchant}"
    for act in sample.expect.get("free", ()):
        if act["send"] == "ruling":
            body = {"merchant_id": sample.merchant, "rma_id": sample.rma, **act["body"]}
            found.append((act["as"], "/v1/rulings", body))
            apply = {"ruling_id": "{ruling_id}"}
            found.append(("operator", f"/v1/returns/{sample.rma}/apply_ruling{query}", apply))
        else:
            found.append((act["as"], f"/v1/returns/{sample.rma}/{act['send']}{query}", act["body"]))
    return found


def free(api: str, tokens: dict[str, str], sample: Sample) -> int:
    """Send them. 0: all were taken."""
    known: Json = {}
    with httpx2.Client(base_url=api, timeout=30, trust_env=False) as client:
        for role, path, body in requests(sample):
            filled = {name: known.get(name, value) if value == f"{{{name}}}" else value for name, value in body.items()}
            print(f"{role}: POST {path} {json.dumps(filled)}")
            answer = client.post(path, json=filled, headers={"authorization": f"Bearer {tokens[role]}"})
            print(f"  {answer.status_code} {answer.text}")
            if answer.status_code >= 400:
                return 1
            known = answer.json()
    return 0


def main() -> int:
    """Find the running demo and the sample, and free it."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo.free", description=__doc__)
    parser.add_argument("case", metavar="MERCHANT/RMA")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo")
    parser.add_argument("--samples", type=Path, default=ROOT / "samples" / "returns.jsonl")
    wanted = parser.parse_args()
    sample = next((one for one in load(wanted.samples, twice=True) if one.case == wanted.case), None)
    if sample is None or not requests(sample):
        print(f"{wanted.case} is no sample that parks", file=sys.stderr)
        return 2
    try:
        running = json.loads((wanted.out / "running.json").read_text(encoding="utf-8"))
        return free(running["api"], running["tokens"], sample)
    except (OSError, httpx2.HTTPError) as error:
        print(f"no demo is running here (make up): {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
