"""Weights of other projects.

A file of this folder that is called like a system reads that system's weights: `stylegan2.py` those of StyleGAN2.
Nothing else has to be touched to add one. It defines

- `ANCHOR`, a regular expression that matches the full name of one tensor which only that system's generator has;
- `convert(network)`, which turns the network with that tensor into a `weights.Imported`;
- `likely(network)`, where other systems' generators have that tensor too: whether it is rather this system's. Without
  --as exactly one of them is asked to convert it;
- `other(networks)`, where the programs also store what is no generator: what a file of that kind holds, in words, or
  None.
"""

from zerosum.interop.weights import read_weights

__all__ = ["read_weights"]
