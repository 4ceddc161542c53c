//! `embed(text)` in SQL.
