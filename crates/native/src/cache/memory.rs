//! The memory tier.

use std::sync::Arc;

use moka::sync::Cache;

use super::{Entry, Key};

/// What an entry takes beside its numbers. For keys and records of its own moka took 373 bytes per entry (resident
/// memory over 100,000 of them); the rest is the facts, counters of references and what an allocator adds.
const OVERHEAD: u32 = 512;

/// Vectors in this process, bounded in bytes. What is used most stays longest (TinyLFU).
#[derive(Clone, Debug)]
pub(super) struct Memory {
    entries: Cache<Key, Arc<Entry>>,
    max_bytes: u64,
}

impl Memory {
    pub(super) fn new(max_bytes: u64) -> Self {
        let entries = Cache::builder().max_capacity(max_bytes).weigher(weight).build();
        Memory { entries, max_bytes }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    pub(super) fn insert(&self, key: Key, entry: Arc<Entry>) {
        self.entries.insert(key, entry);
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// How many entries there are, and their bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        // Insertions and evictions are counted in batches; this ends the current one.
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

fn weight(_: &Key, entry: &Arc<Entry>) -> u32 {
    u32::try_from(size_of_val(&*entry.vector)).unwrap_or(u32::MAX).saturating_add(OVERHEAD)
}
