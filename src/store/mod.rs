//! Locked engines: manifest, hash.
