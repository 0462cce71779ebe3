//! Directions and probes: a unit vector per hook point with what it takes to turn it into a score.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array1;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::{Error, HookPoint, Readout, Result, header, write_file};

const KIND: &str = "directions";
const FORMAT: u32 = 1;

/// Where a file of directions comes from and towards what they point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionHeader {
    /// The behavior, or the name the user gave.
    pub behavior: String,
    /// How they were fit: `dom`, `dom-z`, `lda`, `logistic`, `pca`.
    pub method: String,
    /// A sentence saying towards what positive values point.
    pub towards: String,
    /// The model's name.
    pub model: String,
    /// SHA-256 over the model's files.
    pub model_sha256: String,
    /// Which positions fed a row.
    pub readout: Readout,
    /// What they were fit on, in words.
    pub fit_on: String,
    /// The groups they were fit on; scoring the same groups would be held-in.
    pub fit_groups: Vec<String>,
    /// Rows they were fit on.
    pub n: usize,
    /// The groups that `chosen_hook` was chosen on; scoring them would be held-in, too.
    #[serde(default)]
    pub select_groups: Vec<String>,
    /// The groups kept for reporting: neither fit nor chosen on.
    #[serde(default)]
    pub report_groups: Vec<String>,
    /// The hook point that was chosen on `select_groups`, where one was.
    #[serde(default)]
    pub chosen_hook: Option<HookPoint>,
}

/// One fitted direction. The score of an activation `x` is `scale · (x · vector) + intercept`; a row is called
/// positive when its score is at least `threshold`.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// Unit vector, `[width]`.
    pub vector: Array1<f32>,
    /// Factor from projection to score.
    pub scale: f64,
    /// Added to the scaled projection.
    pub intercept: f64,
    /// Scores of at least this are called positive.
    pub threshold: f64,
}

/// The directions of one fit, by hook point.
#[derive(Clone, Debug, PartialEq)]
pub struct Directions {
    /// Where they come from.
    pub header: DirectionHeader,
    /// One per hook point.
    pub by_hook: BTreeMap<HookPoint, Direction>,
}

#[derive(Serialize, Deserialize)]
struct Stamped {
    kind: String,
    format: u32,
    #[serde(flatten)]
    header: DirectionHeader,
    readings: BTreeMap<HookPoint, Reading>,
}

#[derive(Serialize, Deserialize)]
struct Reading {
    scale: f64,
    intercept: f64,
    threshold: f64,
}

impl Directions {
    /// Writes one safetensors file: tensor name = hook point, `[width]` f32.
    pub fn write(&self, path: &Path) -> Result<()> {
        let reading =
            |d: &Direction| Reading { scale: d.scale, intercept: d.intercept, threshold: d.threshold };
        let stamped = Stamped {
            kind: KIND.into(),
            format: FORMAT,
            header: self.header.clone(),
            readings: self.by_hook.iter().map(|(hook, direction)| (*hook, reading(direction))).collect(),
        };
        let contiguous: Vec<_> = self
            .by_hook
            .iter()
            .map(|(hook, direction)| (hook, direction.vector.as_standard_layout()))
            .collect();
        let tensors = contiguous.iter().map(|(hook, vector)| header::Tensor {
            name: hook.to_string(),
            shape: vec![vector.len()],
            data: vector.as_slice().expect("standard layout is contiguous"),
        });
        write_file(path, &header::to_bytes(&tensors.collect::<Vec<_>>(), &stamped, path)?)
    }

    /// Reads a file of directions.
    ///
    /// # Errors
    /// Names the file and the tensor: not directions, another format version, a tensor without its reading.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let stamped: Stamped = header::read(&bytes, KIND, FORMAT, path)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|source| Error::SafeTensors { path: path.into(), source })?;
        let mut by_hook = BTreeMap::new();
        for (hook, reading) in stamped.readings {
            let (shape, values) = header::f32_tensor(&file, &hook.to_string(), path)?;
            if shape.len() != 1 {
                return Err(Error::Tensor {
                    path: path.into(),
                    tensor: hook.to_string(),
                    expected: "[width]".into(),
                    found: format!("{shape:?}"),
                });
            }
            let Reading { scale, intercept, threshold } = reading;
            by_hook.insert(hook, Direction { vector: values.into(), scale, intercept, threshold });
        }
        Ok(Self { header: stamped.header, by_hook })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directions() -> Directions {
        let direction = |first: f32| Direction {
            vector: vec![first, (1.0 - first * first).sqrt()].into(),
            scale: 2.5,
            intercept: -0.1,
            threshold: 1.0 / 3.0,
        };
        Directions {
            header: DirectionHeader {
                behavior: "blackmail".into(),
                method: "dom".into(),
                towards: "positive values point towards a threat".into(),
                model: "tiny".into(),
                model_sha256: "0".repeat(64),
                readout: Readout::ResponseMean,
                fit_on: "contrast pairs".into(),
                fit_groups: vec!["office".into(), "school".into()],
                n: 40,
                ..DirectionHeader::default()
            },
            by_hook: [(HookPoint::resid_post(0), direction(0.6)), (HookPoint::resid_post(1), direction(0.8))]
                .into(),
        }
    }

    #[test]
    fn directions_read_back_exactly() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("blackmail.safetensors");
        let mut directions = directions();
        directions.write(&path).unwrap();
        assert_eq!(Directions::read(&path).unwrap(), directions);
        directions.header.select_groups = vec!["clinic".into()];
        directions.header.report_groups = vec!["harbor".into()];
        directions.header.chosen_hook = Some(HookPoint::resid_post(1));
        directions.write(&path).unwrap();
        assert_eq!(Directions::read(&path).unwrap(), directions);
    }

    #[test]
    fn a_header_from_before_hook_points_were_chosen_still_reads() {
        let written = serde_json::to_value(directions().header).unwrap();
        let mut older = written.clone();
        for field in ["select_groups", "report_groups", "chosen_hook"] {
            older.as_object_mut().unwrap().remove(field).unwrap();
        }
        assert_eq!(serde_json::from_value::<DirectionHeader>(older).unwrap(), directions().header);
        let mut broken = written;
        broken.as_object_mut().unwrap().remove("fit_groups").unwrap();
        assert!(serde_json::from_value::<DirectionHeader>(broken).is_err());
    }
}
