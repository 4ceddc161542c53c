//! Sizes and places: what is resized to what, and which part of it is kept.

use std::ops::Range;

use super::settings::Size;

/// The (width, height) that an image of this (width, height) is resized to.
///
/// As transformers' `get_resize_output_image_size`: the longer side is rounded down. Where it is more
/// than this machine counts, it is the most that it does.
pub(super) fn resized((width, height): (usize, usize), size: Option<Size>) -> (usize, usize) {
    let longer = |edge: usize, long: usize, short: usize| {
        let pixels = edge as u64 * long as u64 / short.max(1) as u64;
        usize::try_from(pixels).unwrap_or(usize::MAX)
    };
    match size {
        None => (width, height),
        Some(Size::Exact { height, width }) => (width, height),
        Some(Size::ShortestEdge(edge)) if width <= height => (edge, longer(edge, height, width)),
        Some(Size::ShortestEdge(edge)) => (longer(edge, width, height), edge),
    }
}

/// One axis of a centre crop: the pixels that are kept, and where in the crop the first one goes.
///
/// As transformers' `center_crop`, whose rounding is not the same for crops and for borders.
pub(super) fn center(size: usize, crop: usize) -> (Range<usize>, usize) {
    if crop <= size {
        let start = (size - crop) / 2;
        return (start..start + crop, 0);
    }
    // The reference pads to the crop's size, then crops that by the unpadded image's corner, which is
    // half the difference below zero, rounded down: both halves are the same and nothing is cut.
    (0..size, (crop - size).div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_edge() {
        let cases = [
            ((1024, 768), (298, 224)),
            ((768, 1024), (224, 298)),
            ((1, 1), (224, 224)),
            ((3, 2000), (224, 149_333)),
            ((224, 225), (224, 225)),
            ((1, u32::MAX as usize), (224, usize::try_from(224 * 0xffff_ffffu64).unwrap())),
        ];
        for (source, expected) in cases {
            assert_eq!(resized(source, Some(Size::ShortestEdge(224))), expected, "{source:?}");
        }
    }

    #[test]
    fn centres() {
        let cases = [
            ((298, 224), (37..261, 0)),
            ((225, 224), (0..224, 0)),
            ((224, 224), (0..224, 0)),
            ((100, 224), (0..100, 62)),
            ((101, 224), (0..101, 62)),
            ((1, 2), (0..1, 1)),
        ];
        for ((size, crop), expected) in cases {
            assert_eq!(center(size, crop), expected, "{size} to {crop}");
        }
    }
}
