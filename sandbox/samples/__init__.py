"""Sample returns: what happens to them in the physical world, who does what, and how they must end.

`python -m sandbox.samples` writes samples/returns.jsonl; the expectations in it are written by hand, in minor units,
and never computed by the product.
"""
