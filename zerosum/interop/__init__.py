"""Weights of other projects.

A file of this folder that is called like a system reads that system's weights: `stylegan2.py` those of StyleGAN2.
Nothing else has to be touched to add one. It defines

- `ANCHOR`, a regular expression that matches the full name of one tensor which only that system's generator has;
- `convert(network)`, which turns the network with that tensor into a `weights.Imported`.
"""

from zerosum.interop.weights import read_weights

__all__ = ["read_weights"]
