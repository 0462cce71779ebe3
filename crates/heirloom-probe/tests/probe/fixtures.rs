//! Reads what `tools/reference/make_probe_fixtures.py` wrote.

use std::path::PathBuf;

use ndarray::{Array1, Array2};
use safetensors::SafeTensors;
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A JSON fixture.
pub(crate) fn json(name: &str) -> Value {
    let path = path(&format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .unwrap()
}

/// The cases of a JSON fixture.
pub(crate) fn cases(name: &str) -> Vec<Value> {
    let cases = json(name)["cases"].as_array().unwrap().clone();
    assert!(cases.len() >= 5, "{name}: {} cases", cases.len());
    cases
}

/// A number of a case.
pub(crate) fn number(case: &Value, key: &str) -> f64 {
    case[key].as_f64().unwrap_or_else(|| panic!("`{key}` of {case}"))
}

/// A count of a case.
pub(crate) fn count(case: &Value, key: &str) -> usize {
    usize::try_from(case[key].as_u64().unwrap()).unwrap()
}

/// A list of numbers of a case.
pub(crate) fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Labels of a case, written as zeros and ones.
pub(crate) fn labels(case: &Value) -> Vec<bool> {
    numbers(case, "labels").iter().map(|label| *label > 0.5).collect()
}

/// Named f64 arrays of a safetensors fixture.
pub(crate) struct Arrays(Vec<u8>);

impl Arrays {
    pub(crate) fn read(name: &str) -> Self {
        Self(std::fs::read(path(&format!("{name}.safetensors"))).unwrap())
    }

    fn values(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let (bytes, rest) = tensor.data().as_chunks::<8>();
        assert!(rest.is_empty() && tensor.dtype() == safetensors::Dtype::F64);
        (tensor.shape().to_vec(), bytes.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn vector(&self, name: &str) -> Array1<f64> {
        self.values(name).1.into()
    }

    pub(crate) fn matrix(&self, name: &str) -> Array2<f64> {
        let (shape, values) = self.values(name);
        Array2::from_shape_vec((shape[0], shape[1]), values).unwrap()
    }
}
