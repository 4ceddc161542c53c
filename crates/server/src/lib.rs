//! Embeddings over HTTP.
