//! How good a fit is, on pairs that it has not seen.

use std::fmt;

use serde::{Deserialize, Serialize};

use isovec_core::{Error, ErrorKind, Fusion, Result};

/// What was fitted, and how well it finds the image of a text and the text of an image among the
/// held-out pairs.
///
/// It is kept in the fusion's file: [`FitReport::of`] reads it from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FitReport {
    /// The pairs that the map was fitted on.
    pub fitted: usize,
    /// The pairs that were kept out of it and measured.
    pub held_out: usize,
    /// The groups that those are of; pairs of one group have a text or an image in common.
    pub held_out_groups: usize,
    /// The regularisation that was used.
    pub regularization: f64,
    /// The largest canonical correlations of the fitted pairs, at most ten, shrunk by the
    /// regularisation. The weights of the map.
    pub correlations: Vec<f64>,
    /// The correlations of the same variates over the held-out pairs. Much lower ones mean that
    /// there were too few pairs to fit on.
    pub held_out_correlations: Vec<f64>,
    /// An untrained projection of the same size, on the held-out pairs.
    pub before: CrossModal,
    /// The fitted map, on the held-out pairs.
    pub after: CrossModal,
    /// What a random order would give.
    pub chance: Recall,
}

/// Recall in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CrossModal {
    /// Texts as queries, all held-out images as candidates.
    pub text_to_image: Recall,
    /// Images as queries, all held-out texts as candidates.
    pub image_to_text: Recall,
}

/// The share of queries, from 0 to 1, for which a candidate of the query's group is among the first
/// so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// Is the first.
    pub at_1: f64,
    /// Is among the first ten.
    pub at_10: f64,
}

/// Six digits after the point: more would only differ from machine to machine, and so many are read
/// from JSON as they were written.
pub(super) fn rounded(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

impl FitReport {
    /// The report in a fusion's file, if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidFusion`](ErrorKind::InvalidFusion) if there is one of another form.
    pub fn of(fusion: &Fusion) -> Result<Option<Self>> {
        fusion
            .report()
            .map(|json| {
                serde_json::from_str(json).map_err(|e| {
                    Error::new(ErrorKind::InvalidFusion, format!("the fusion's report: {e}"))
                        .with_source(e)
                })
            })
            .transpose()
    }
}

impl fmt::Display for FitReport {
    /// Some lines for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "fitted on {} pairs, regularisation {}; measured on {} other pairs",
            self.fitted, self.regularization, self.held_out
        )?;
        writeln!(f, "recall            text->image @1   @10    image->text @1   @10")?;
        let (before, after) = (&self.before, &self.after);
        let chance = CrossModal { text_to_image: self.chance, image_to_text: self.chance };
        for (name, row) in [("untrained", before), ("fitted", after), ("chance", &chance)] {
            let [a, b] = [row.text_to_image, row.image_to_text];
            writeln!(
                f,
                "{name:<16} {:>15.3} {:>5.3} {:>17.3} {:>5.3}",
                a.at_1, a.at_10, b.at_1, b.at_10
            )?;
        }
        // Three standard errors of a share near chance, and never less than one right answer more.
        let floor = self.chance.at_10;
        let noise = (floor * (1.0 - floor) / self.held_out.max(1) as f64).sqrt();
        let worse = after.text_to_image.at_10.min(after.image_to_text.at_10);
        if worse <= floor + 3.0 * noise + 1.0 / self.held_out.max(1) as f64 {
            writeln!(f, "this is no better than chance: the map found nothing in common")?;
        }
        Ok(())
    }
}
