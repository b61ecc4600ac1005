"""Random images and a tiny extractor for the tests of feature metrics."""

import torch
from torch import nn


class MeanColours(nn.Module):
    """Six features of an image: mean and standard deviation of each channel."""

    num_features = 6

    def forward(self, images):
        x = images.float() / 255
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)


def images(n, seed, low=0, high=256):
    return torch.randint(low, high, (n, 3, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
