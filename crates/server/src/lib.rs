//! Embeddings over HTTP: OpenAI's and text-embeddings-inference's requests, answered locally.
//!
//! [`router`] is an `axum::Router` over an [`EmbeddingService`](isovec::EmbeddingService), to be mounted
//! into a server of your own. [`Server`] is one of its own, with the limits that only a server can keep;
//! `isovec serve` is that and a configuration.
//!
//! | path | |
//! |---|---|
//! | `POST /v1/embeddings` | texts, as OpenAI has it |
//! | `POST /v1/images/embeddings` | images: JSON with base64 or addresses, or an image file itself |
//! | `POST /v1/multimodal/embeddings` | a text and an image into one vector |
//! | `GET /v1/models`, `/v1/models/{model}` | what is loaded, as OpenAI has it and with more facts |
//! | `POST /embed`, `POST /similarity`, `GET /info`, `GET /health` | as text-embeddings-inference has them |
//! | `GET /health/live`, `GET /health/ready` | for probes; ready means that an inference succeeded |
//! | `GET /metrics` | for Prometheus |
//! | `GET /openapi.json` | all of this, for programs |
//!
//! # Statuses
//!
//! | status | when | try again? |
//! |---|---|---|
//! | 400, 404, 405, 413, 415 | the request cannot be served as it is | no |
//! | 401 | `server.api_keys` has keys, and this is none of them | no |
//! | 408 | the body did not come within `server.read_timeout` | OpenAI's clients do |
//! | 429 | as much waits as may, or bodies take as much memory as they may | after Retry-After; they do |
//! | 503 | loading, or shutting down | after Retry-After; they do |
//! | 504 | it took longer than `performance.request_timeout` | they do |
//! | 500 | a model failed, or the server did; the log has the request's id | they do |
//!
//! text-embeddings-inference's paths speak its words: 422 where others say 400, 424 where a model failed.
//!
//! # Who may ask
//!
//! With `server.api_keys` a request needs one, as `Authorization: Bearer KEY`. Not so the health endpoints,
//! `/metrics` and `/openapi.json`, which probes and Prometheus ask without one and which tell nothing of any
//! request: keep them from the outside by the proxy that also brings TLS.
//!
//! # What is bounded
//!
//! Bodies (`server.max_body_bytes`; sixteen such in memory at once), inputs of a request, connections, the time
//! for a head and a body to come and for an answer to be taken, the time for a request. A connection
//! that says nothing for `server.read_timeout` is closed: behind a proxy that keeps connections, set it longer than
//! the proxy does.
//!
//! A client that goes away takes its work out of the queue. A panic is answered with status 500, and the process
//! lives.

mod answer;
mod auth;
mod body;
mod connection;
mod errors;
mod health;
mod image_source;
mod images;
mod inputs;
mod json;
mod metrics;
mod models;
mod multimodal;
mod observe;
mod openai;
mod openapi;
mod request_id;
mod router;
mod serve;
mod state;
mod tei;
mod vectors;

pub use router::router;
pub use serve::Server;
