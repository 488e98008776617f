//! The simulator: a deterministic endoscopic scene with exact truth.
