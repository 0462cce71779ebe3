//! The one metadata key that every heirloom tensor file carries.
//!
//! JSON documents carry the same stamp: their `kind` and `format`.
//!
//! safetensors writes several keys in random order; one key with sorted JSON gives the same bytes each time.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, write_file};

const KEY: &str = "heirloom";

/// A named f32 tensor to be written.
pub(crate) struct Tensor<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: &'a [f32],
}

/// Bytes of a safetensors file with `header` under the one key.
pub(crate) fn to_bytes(tensors: &[Tensor<'_>], header: &impl Serialize, path: &Path) -> Result<Vec<u8>> {
    let unreadable = |source| Error::SafeTensors { path: path.into(), source };
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        Ok((tensor.name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let metadata = HashMap::from([(KEY.to_owned(), sorted_json(header, path)?)]);
    safetensors::serialize(views, Some(metadata)).map_err(unreadable)
}

/// The header of a safetensors file, checked for its kind and version before anything else is read.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], kind: &str, version: u32, path: &Path) -> Result<T> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|source| match bytes.get(8) {
        // The header is an object, behind its length: what has none there is another kind of file.
        Some(b'{') => Error::SafeTensors { path: path.into(), source },
        _ => Error::NotSafeTensors { path: path.into() },
    })?;
    of(&metadata, kind, version, path)
}

/// Header and tensors' types and shapes of a safetensors file; no tensor is read.
pub(crate) fn peek<T: DeserializeOwned>(kind: &str, version: u32, path: &Path) -> Result<(T, Metadata)> {
    let unreadable = |source| Error::SafeTensors { path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    let whole = file.metadata().map_err(Error::io("read", path))?.len();
    let mut size = [0; 8];
    if whole < 8 {
        return Err(unreadable(SafeTensorError::HeaderTooSmall));
    }
    file.read_exact(&mut size).map_err(Error::io("read", path))?;
    let size = u64::from_le_bytes(size);
    if size > whole - 8 {
        return Err(unreadable(SafeTensorError::InvalidHeaderLength));
    }
    let mut json = vec![];
    file.take(size).read_to_end(&mut json).map_err(Error::io("read", path))?;
    let metadata: Metadata = serde_json::from_slice(&json)
        .map_err(|source| unreadable(SafeTensorError::InvalidHeaderDeserialization(source)))?;
    if metadata.data_len() as u64 != whole - 8 - size {
        return Err(unreadable(SafeTensorError::MetadataIncompleteBuffer));
    }
    Ok((of(&metadata, kind, version, path)?, metadata))
}

fn of<T: DeserializeOwned>(metadata: &Metadata, kind: &str, version: u32, path: &Path) -> Result<T> {
    let json = metadata.metadata().as_ref().and_then(|all| all.get(KEY));
    let json = json.ok_or_else(|| Error::NoHeader { path: path.into() })?;
    check(json, kind, version, path)
}

/// Writes `value`, an object, as JSON with sorted keys, its `kind` and `format` among them.
pub fn write_json(path: &Path, kind: &str, format: u32, value: &impl Serialize) -> Result<()> {
    #[derive(Serialize)]
    struct Stamped<'a, T> {
        kind: &'a str,
        format: u32,
        #[serde(flatten)]
        value: &'a T,
    }
    write_file(path, sorted_json(&Stamped { kind, format, value }, path)?.as_bytes())
}

/// Reads what [`write_json`] wrote, after checking that it is of `kind` and `format`.
pub fn read_json<T: DeserializeOwned>(path: &Path, kind: &str, format: u32) -> Result<T> {
    let json = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    check(&json, kind, format, path)
}

/// Parses `json` after checking that it is of `kind` and `version`.
pub(crate) fn check<T: DeserializeOwned>(json: &str, kind: &str, version: u32, path: &Path) -> Result<T> {
    #[derive(serde::Deserialize)]
    struct Stamp {
        kind: String,
        format: u32,
    }
    let not_json = |source| Error::Json { path: path.into(), source };
    let stamp: Stamp = serde_json::from_str(json).map_err(not_json)?;
    if (stamp.kind.as_str(), stamp.format) != (kind, version) {
        return Err(Error::Header {
            path: path.into(),
            expected: format!("`{kind}` format {version}"),
            found: format!("`{}` format {}", stamp.kind, stamp.format),
        });
    }
    serde_json::from_str(json).map_err(not_json)
}

/// JSON with every object's keys sorted.
pub(crate) fn sorted_json(value: &impl Serialize, path: &Path) -> Result<String> {
    let mut value =
        serde_json::to_value(value).map_err(|source| Error::Json { path: path.into(), source })?;
    value.sort_all_objects();
    Ok(value.to_string())
}

/// The values of an f32 tensor with its shape.
pub(crate) fn f32_tensor(file: &SafeTensors<'_>, name: &str, path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let view = file.tensor(name).map_err(|source| Error::SafeTensors { path: path.into(), source })?;
    check_f32(view.dtype(), name, path)?;
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((view.shape().to_vec(), values))
}

/// Refuses every type but f32.
pub(crate) fn check_f32(found: Dtype, name: &str, path: &Path) -> Result<()> {
    if found == Dtype::F32 {
        return Ok(());
    }
    Err(Error::Tensor {
        path: path.into(),
        tensor: name.into(),
        expected: "F32".into(),
        found: format!("{found:?}"),
    })
}
