"""Two outputs of pooled features: `quality` (a logit a class) and `cohort` (1 is the limit), as they are exported.

`cohort` is the larger of two: the distance (Mahalanobis, of pooled features at stride 16; the nearer of two
cohorts, colour and grey: Lee et al. 2018) and the word of a small classifier that has seen strange pictures
(outlier exposure: Hendrycks et al. 2019). Each is 1 at its own limit.
"""
import torch
import torch.nn.functional as F
from torch import nn

REACH = 12.0        # of a feature, in its spreads: beyond it strange is strange enough


class Gauge(nn.Module):
    """Pooled features NxD to quality Nx5 and cohort Nx1."""

    def __init__(self, fitted):
        super().__init__()
        for name, value in fitted.items():
            self.register_buffer(name, value)

    def standard(self, features):
        return ((features - self.centre) / self.spread).clamp(-REACH, REACH)

    def logits(self, z):
        """Of the five classes, and of being strange."""
        return F.linear(F.relu(F.linear(z, self.hidden_weight, self.hidden_bias)), self.last_weight, self.last_bias)

    def distances(self, z):
        """From each cohort, each over its own limit."""
        third = z[:, int(self.first):int(self.end)]
        each = [(third @ self.whiteners[i] - self.centres[i]).square().sum(1, keepdim=True) for i in range(self.whiteners.shape[0])]
        return torch.cat(each, 1).add(1e-6).sqrt() / self.distance_limits

    def forward(self, features):
        z = self.standard(features)
        logits = self.logits(z)
        strange = F.relu(1 + (logits[:, -1:] - self.strange_limit) / self.strange_reach)
        near = self.distances(z).amin(1, keepdim=True)
        return logits[:, :-1], torch.maximum(near, strange)
