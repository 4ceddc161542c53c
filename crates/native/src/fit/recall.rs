//! How often a query finds a candidate of its own group.

use nalgebra::DMatrix;

use super::report::{Recall, rounded};

/// Queries that are compared at a time: the scores of a block fit into memory, however many there
/// are in all.
const BLOCK: usize = 256;

/// Compares every query with every candidate: unit vectors as columns, the `i`th of both of group
/// `groups[i]`. `check` is called between blocks and may end it.
///
/// A candidate of another group that scores as much as the best of the own group counts as before
/// it: vectors that are all equal find nothing.
pub(super) fn measure<E>(
    queries: &DMatrix<f32>,
    candidates: &DMatrix<f32>,
    groups: &[usize],
    mut check: impl FnMut() -> Result<(), E>,
) -> Result<Recall, E> {
    let rows = candidates.transpose();
    let (mut first, mut among_ten) = (0usize, 0usize);
    for begin in (0..queries.ncols()).step_by(BLOCK) {
        check()?;
        let count = BLOCK.min(queries.ncols() - begin);
        let scores = &rows * queries.columns(begin, count);
        for (column, own) in scores.column_iter().zip(&groups[begin..]) {
            let scored = || column.iter().zip(groups);
            let best = scored()
                .filter(|(_, group)| *group == own)
                .fold(f32::NEG_INFINITY, |best, (&score, _)| best.max(score));
            let before = scored().filter(|&(&score, group)| group != own && score >= best).count();
            first += usize::from(before < 1);
            among_ten += usize::from(before < 10);
        }
    }
    let all = queries.ncols().max(1) as f64;
    Ok(Recall { at_1: rounded(first as f64 / all), at_10: rounded(among_ten as f64 / all) })
}

/// What a random order of the candidates would give, on average.
pub(super) fn chance(groups: &[usize]) -> Recall {
    let mut sizes = std::collections::HashMap::new();
    for group in groups {
        *sizes.entry(group).or_insert(0usize) += 1;
    }
    let total = groups.len();
    // The chance that none of `size` is among the first k is that of k misses in a row.
    let found = |size: usize, k: usize| {
        let missed =
            (0..k.min(total)).map(|i| (total - size).saturating_sub(i) as f64 / (total - i) as f64);
        1.0 - missed.product::<f64>()
    };
    // In the order of the pairs: a map's own order would change the last bits from run to run.
    let mean =
        |k| groups.iter().map(|group| found(sizes[group], k)).sum::<f64>() / total.max(1) as f64;
    Recall { at_1: rounded(mean(1)), at_10: rounded(mean(10)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> Result<(), ()> {
        Ok(())
    }

    #[test]
    fn a_group_counts_as_found_by_any_of_its_members() {
        // Three candidates along the axes; the second query points to the third one.
        let candidates = DMatrix::identity(3, 3);
        let queries = DMatrix::from_row_slice(3, 3, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        let alone = measure(&queries, &candidates, &[0, 1, 2], never).unwrap();
        assert_eq!(alone, Recall { at_1: 0.666_667, at_10: 1.0 });
        let together = measure(&queries, &candidates, &[0, 1, 1], never).unwrap();
        assert_eq!(together.at_1, 1.0);
    }

    #[test]
    fn equal_vectors_find_nothing() {
        let same = DMatrix::from_element(2, 600, 0.5);
        let groups: Vec<usize> = (0..600).collect();
        assert_eq!(measure(&same, &same, &groups, never).unwrap(), Recall::default());
    }

    #[test]
    fn chance_is_that_of_drawing_without_putting_back() {
        let groups: Vec<usize> = (0..100).collect();
        let found = chance(&groups);
        assert!((found.at_1 - 0.01).abs() < 1e-6 && (found.at_10 - 0.1).abs() < 1e-6);
        let pairs: Vec<usize> = (0..100).map(|i| i / 2).collect();
        let none_of_ten = 90.0 * 89.0 / (100.0 * 99.0);
        assert!((chance(&pairs).at_10 - (1.0 - none_of_ten)).abs() < 1e-6);
        assert_eq!(chance(&[0, 1, 2]).at_10, 1.0);
    }
}
