//! Which pairs are kept apart: no text and no image may be on both sides.

use std::collections::HashMap;

/// The group of each pair, numbered from 0 in order of appearance: pairs are of one group if the
/// caller says so, or if their text or their image has the very same vector.
pub(super) fn groups<T: AsRef<[f32]>, I: AsRef<[f32]>>(
    text: &[T],
    image: &[I],
    given: Option<&[u64]>,
) -> Vec<usize> {
    let mut sets = Sets((0..text.len()).collect());
    sets.join_equal(text.iter().map(|v| bits(v.as_ref())));
    sets.join_equal(image.iter().map(|v| bits(v.as_ref())));
    if let Some(given) = given {
        sets.join_equal(given.iter());
    }
    let mut numbers = HashMap::new();
    (0..text.len())
        .map(|pair| {
            let next = numbers.len();
            *numbers.entry(sets.root(pair)).or_insert(next)
        })
        .collect()
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

/// Disjoint sets; each pair points towards the first of its set.
struct Sets(Vec<usize>);

impl Sets {
    fn join_equal<K: std::hash::Hash + Eq>(&mut self, keys: impl Iterator<Item = K>) {
        let mut seen = HashMap::new();
        for (pair, key) in keys.enumerate() {
            let other = *seen.entry(key).or_insert(pair);
            let (a, b) = (self.root(pair), self.root(other));
            self.0[a.max(b)] = a.min(b);
        }
    }

    fn root(&mut self, mut pair: usize) -> usize {
        while self.0[pair] != pair {
            self.0[pair] = self.0[self.0[pair]];
            pair = self.0[pair];
        }
        pair
    }
}

/// Splits `pairs` into those to fit on and those to keep apart: whole groups, in the order that the
/// seed shuffles them into, as long as they fit into `share` of the pairs.
pub(super) fn split(
    pairs: &[usize],
    groups: &[usize],
    share: f64,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut order = Vec::new();
    for &pair in pairs {
        let group = groups[pair];
        members.entry(group).or_insert_with(|| {
            order.push(group);
            Vec::new()
        });
        members.entry(group).or_default().push(pair);
    }
    let mut state = seed;
    for left in (1..order.len()).rev() {
        order.swap(left, (random(&mut state) % (left as u64 + 1)) as usize);
    }
    let mut room = (share * pairs.len() as f64).round() as usize;
    let (mut fit, mut apart) = (Vec::new(), Vec::new());
    for group in order {
        let of_group = &members[&group];
        if of_group.len() <= room {
            room -= of_group.len();
            apart.extend(of_group);
        } else {
            fit.extend(of_group);
        }
    }
    fit.sort_unstable();
    apart.sort_unstable();
    (fit, apart)
}

/// SplitMix64.
pub(super) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_joined_over_texts_images_and_what_the_caller_says() {
        let text = [[1.0], [2.0], [2.0], [3.0], [4.0], [5.0]];
        let image = [[1.0], [2.0], [3.0], [3.0], [4.0], [5.0]];
        assert_eq!(groups(&text, &image, None), [0, 1, 1, 1, 2, 3]);
        assert_eq!(groups(&text, &image, Some(&[7, 1, 2, 3, 7, 5])), [0, 1, 1, 1, 0, 2]);
    }

    proptest! {
        #[test]
        fn no_group_is_on_both_sides_and_no_pair_is_lost(
            groups in prop::collection::vec(0usize..30, 1..100),
            share in 0.0f64..0.5,
            seed: u64,
        ) {
            let pairs: Vec<usize> = (0..groups.len()).collect();
            let (fit, apart) = split(&pairs, &groups, share, seed);
            prop_assert!(apart.len() <= (share * pairs.len() as f64).round() as usize);
            prop_assert!(fit.iter().all(|a| apart.iter().all(|b| groups[*a] != groups[*b])));
            let mut all = [fit, apart].concat();
            all.sort_unstable();
            prop_assert_eq!(all, pairs);
        }
    }
}
