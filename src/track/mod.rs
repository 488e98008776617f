//! Tracks.
