//! Fixtures: tiny random models saved by transformers, with what transformers computed from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use heirloom_model::{Clock, Device, LoadOptions, RowCache, Student, TokenRow};
use heirloom_record::HookPoint;
use ndarray::ArrayD;

pub(crate) const MODELS: [&str; 8] = [
    "llama-gqa",
    "llama-tied-mha",
    "llama3-rope",
    "llama-linear-rope",
    "llama-bias",
    "mistral-window",
    "smollm-like",
    "chat-llama",
];

/// One or more of every other family, and rotary embeddings that Llama's fixtures lack.
pub(crate) const FAMILIES: [&str; 33] = [
    "families/llama-yarn",
    "families/llama-yarn-exact",
    "families/llama-dynamic",
    "families/qwen2-tied",
    "families/qwen2-window",
    "families/qwen3-tied",
    "families/qwen3-window",
    "families/smollm3-nope",
    "families/smollm3-window",
    "families/olmo2-gqa",
    "families/olmo2-tied",
    "families/olmo3-yarn",
    "families/olmo3-default",
    "families/gemma2-capped",
    "families/gemma2-free",
    "families/gemma3-text",
    "families/gemma3-old-keys",
    "families/phi3-partial",
    "families/phi3-longrope",
    "families/phi3-window",
    "families/neox-parallel",
    "families/neox-sequential",
    "families/gpt2-tied",
    "families/gpt2-inner",
    "families/olmoe",
    "families/qwen3-moe",
    "families/qwen3-moe-dense",
    "families/qwen35",
    "families/qwen35-tied",
    "families/gemma3-vision",
    "families/qwen35-vision",
    "families/qwen35-vision-tied",
    "families/mistral3-vision",
];

/// All fixtures.
pub(crate) fn all_models() -> impl Iterator<Item = &'static str> {
    MODELS.into_iter().chain(FAMILIES)
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn clock() -> Clock {
    "2026-01-15T09:30:00".parse().unwrap()
}

/// On the processor, or on the device that `HEIRLOOM_TEST_DEVICE` names, as `tools/parity-table` does.
pub(crate) fn options() -> LoadOptions {
    let device = std::env::var("HEIRLOOM_TEST_DEVICE").map_or(Device::Cpu, |name| name.parse().unwrap());
    LoadOptions { device, ..LoadOptions::new(clock()) }
}

pub(crate) fn student(name: &str) -> Student {
    Student::load(&fixture(name), &options()).unwrap()
}

pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The fixture's rows of token ids.
pub(crate) fn rows(name: &str) -> Vec<TokenRow> {
    let inputs = json(&fixture(name).join("inputs.json"));
    let rows = inputs["input_ids"].as_array().unwrap().iter().enumerate();
    rows.map(|(index, ids)| TokenRow::from_ids(index.to_string(), ids_of(ids))).collect()
}

pub(crate) fn ids_of(value: &serde_json::Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// All f32 tensors of a safetensors file.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, ArrayD<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let array = |view: safetensors::tensor::TensorView<'_>| {
        let values = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        ArrayD::from_shape_vec(view.shape().to_vec(), values).unwrap()
    };
    file.tensors().into_iter().map(|(name, view)| (name, array(view))).collect()
}

/// Largest absolute difference; infinities must be at the same places.
#[expect(clippy::float_cmp, reason = "equal infinities have no difference to take")]
pub(crate) fn gap(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    assert_eq!(a.shape(), b.shape());
    a.iter()
        .zip(b)
        .map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() })
        .fold(0.0, |top: f32, x| if x > top || x.is_nan() { x } else { top })
}

/// Largest finite magnitude.
pub(crate) fn scale(a: &ArrayD<f32>) -> f32 {
    a.iter().filter(|x| x.is_finite()).fold(0.0, |top, x| top.max(x.abs()))
}

/// Every hook point of every row, with logits.
pub(crate) fn see_all(student: &Student, rows: &[TokenRow]) -> Vec<RowCache> {
    student.run_with_hooks(rows, &student.config().hooks(), &[], true).unwrap()
}

pub(crate) fn block(layer: usize, name: &str) -> HookPoint {
    format!("blocks.{layer}.{name}").parse().unwrap()
}

/// Copies a fixture into a scratch folder, to be damaged there.
pub(crate) fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}
