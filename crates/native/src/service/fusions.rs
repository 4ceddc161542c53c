//! The fusions of a service, one for each pair of dimensions that was asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::FusionConfig;
use crate::{Error, ErrorKind, Fusion, FusionKind, FusionWeights, Result};

/// Made when they are first asked for.
#[derive(Debug, Default)]
pub(super) struct Fusions {
    made: Mutex<HashMap<(usize, usize), Arc<Fusion>>>,
}

impl Fusions {
    pub(super) fn get(
        &self,
        settings: &FusionConfig,
        text_dims: usize,
        image_dims: usize,
    ) -> Result<Arc<Fusion>> {
        // Held while one is made: half a second, once.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fusion) = made.get(&(text_dims, image_dims)) {
            return Ok(Arc::clone(fusion));
        }
        let fusion = Arc::new(make(settings, text_dims, image_dims)?);
        made.insert((text_dims, image_dims), Arc::clone(&fusion));
        Ok(fusion)
    }
}

fn make(settings: &FusionConfig, text_dims: usize, image_dims: usize) -> Result<Fusion> {
    if let Some(path) = &settings.path {
        let bytes = std::fs::read(path).map_err(|e| crate::folder::cannot_read(path, e))?;
        return Fusion::from_safetensors(&bytes).map_err(|e| e.context(path.display()));
    }
    let weights = FusionWeights::new(settings.text_weight, 1.0 - settings.text_weight)?;
    match settings.kind {
        FusionKind::Concat => Fusion::concat(text_dims, image_dims, weights),
        FusionKind::Untrained => {
            Fusion::untrained(text_dims, image_dims, settings.dimensions, settings.seed, weights)
        }
        kind => Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("fusion: a {kind} fusion needs a file (fusion.path)"),
        )),
    }
}
