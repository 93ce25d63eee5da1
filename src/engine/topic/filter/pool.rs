//! The distinct filters of one shard, shared by all subscriptions that ask for the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use slab::Slab;

use super::Filter;

/// A filter's place in the pool, while somebody uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine::topic) struct FilterId(u32);

/// Filters by what they say, with the number of their users.
#[derive(Debug, Default)]
pub(in crate::engine::topic) struct FilterPool {
    filters: Slab<(Arc<Filter>, u32)>,
    by_text: BTreeMap<Arc<Filter>, u32>,
}

impl FilterPool {
    /// One more user of a filter that says this.
    pub fn acquire(&mut self, filter: Arc<Filter>) -> FilterId {
        if let Some(&slot) = self.by_text.get(&filter) {
            self.filters[slot as usize].1 += 1;
            return FilterId(slot);
        }
        let slot = self.filters.insert((filter.clone(), 1)) as u32;
        self.by_text.insert(filter, slot);
        FilterId(slot)
    }

    /// One user less; the last one takes the filter along.
    pub fn release(&mut self, id: FilterId) {
        let (filter, users) = &mut self.filters[id.0 as usize];
        *users -= 1;
        if *users == 0 {
            self.by_text.remove(filter);
            self.filters.remove(id.0 as usize);
        }
    }

    /// The filter.
    pub fn filter(&self, id: FilterId) -> &Arc<Filter> {
        &self.filters[id.0 as usize].0
    }

    /// How many distinct filters there are.
    pub fn len(&self) -> usize {
        self.filters.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_filters_are_held_once_and_until_the_last_user_leaves() {
        let filter = |value| Arc::new(Filter::parse(&value).unwrap().unwrap());
        let mut pool = FilterPool::default();
        let a = pool.acquire(filter(json!({"a": 1})));
        let b = pool.acquire(filter(json!({"a": {"eq": 1.0}})));
        let c = pool.acquire(filter(json!({"a": 2})));
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!(pool.len(), 2);
        pool.release(a);
        assert_eq!((pool.len(), pool.filter(b).as_str()), (2, "\"a\" eq 1"));
        pool.release(b);
        assert_eq!(pool.len(), 1);
    }
}
