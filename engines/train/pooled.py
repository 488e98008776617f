"""What a picture is told by as a whole: the network's own maps, pooled, and how sharp and coloured it is.

Nothing that the masks are made of is changed. The maps are taken by hooks, so that model.py need not know.
"""
import torch
import torch.nn.functional as F
from torch import nn

from model import MEAN, STD

# Cells in which sharpness is looked at, across and down.
CELLS = (5, 3)


class Pooled(nn.Module):
    """Mean and spread (of the largest map: greatest) of every channel of the encoder at strides 4 to 16, and sharpness and
    colour of a part of the input's pixels: a small part of the network's own work."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    @staticmethod
    def sharpness(x):
        """Log of green's second difference in cells, at three widths, along and across: mean, spread, least, most."""
        green, all_cells = x[:, 1:2], []
        height = green.shape[2] // 16 * 16 - 16
        for width in (1, 2, 4):
            rows = [green[:, :, i * width:i * width + height:8] for i in (0, 1, 2)]
            along = rows[1][..., 2 * width:] - 2 * rows[1][..., width:-width] + rows[1][..., :-2 * width]
            for edges in (along, rows[2] - 2 * rows[1] + rows[0]):
                cell = edges.shape[2] // CELLS[1], edges.shape[3] // CELLS[0]
                all_cells.append(F.avg_pool2d(edges.abs(), cell).flatten(2))
        cells = torch.log(torch.cat(all_cells, 1) + 0.003)
        mean = cells.mean(2, keepdim=True)
        off = cells - mean
        return [mean.flatten(1), (off * off).mean(2).sqrt(), cells.amin(2), cells.amax(2)]

    def colour(self, x):
        small = x[:, :, 4::8][..., 4::8] * self.std + self.mean
        r, g, b = small[:, :1], small[:, 1:2], small[:, 2:]
        return [self.moments(torch.cat([small, r - g, g - b, (r - b).abs()], 1))]

    @staticmethod
    def moments(m):
        mean = m.mean((2, 3), keepdim=True)
        off = m - mean
        spread = (off * off).mean((2, 3)).add(1e-6).sqrt()
        return torch.cat([mean.flatten(1), spread], 1)

    @staticmethod
    def extremes(m):
        return torch.cat([F.adaptive_avg_pool2d(m, 1), F.adaptive_max_pool2d(m, 1)], 1).flatten(1)

    def forward(self, x, maps):
        """N x D, of the picture and of the encoder's maps."""
        _, first, *others, _ = maps
        pooled = [self.extremes(first), *(self.moments(m) for m in others)]
        return torch.cat(pooled + self.sharpness(x) + self.colour(x), 1)


class WithPooled(nn.Module):
    """The network with one output more: `pooled`, 1xD."""

    def __init__(self, net):
        super().__init__()
        self.net, self.pooled, self.maps = net, Pooled(), []
        net.encoder.register_forward_hook(lambda _, __, out: self.maps.extend(out))

    def forward(self, x):
        self.maps.clear()
        instrument, tissue = self.net(x)
        return instrument, tissue, self.pooled(x, self.maps)


def of_stride(stride, channels):
    """Which features are of the map at this stride; `channels` are the encoder's (strides 2, 4, 8 …)."""
    index = stride.bit_length() - 2
    first = 2 * sum(channels[1:index])
    return slice(first, first + 2 * channels[index])
