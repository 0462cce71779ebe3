//! The GGUF container: metadata, and where each tensor lies.
//!
//! candle's own reader divides by the file's alignment unchecked and asks for memory by unchecked lengths, so a
//! hostile file can end the process; this reader checks every length against the file before it allocates.
//! Blocks are dequantized by candle.
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;

use crate::{Error, Result};

/// One metadata value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Any whole number.
    Int(i64),
    /// Any float.
    Float(f64),
    /// A flag.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of one type.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::List(values) => write!(f, "a list of {}", values.len()),
        }
    }
}

/// Where one tensor lies.
#[derive(Clone, Debug)]
pub(crate) struct TensorInfo {
    /// Outermost axis first, as Hugging Face writes shapes.
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: GgmlDType,
    /// From the beginning of the file.
    pub(crate) offset: u64,
    pub(crate) n_bytes: usize,
}

/// What a GGUF file holds, weights not yet read.
pub(crate) struct Gguf {
    pub(crate) path: PathBuf,
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
}

impl Gguf {
    /// Reads metadata and the table of tensors.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let len = file.metadata().map_err(Error::io(path))?.len();
        let mut reader = Reader { path, len, file: BufReader::with_capacity(1 << 16, file), at: 0 };
        if reader.bytes::<4>()? != *b"GGUF" {
            return Err(reader.damaged("it does not begin with `GGUF`"));
        }
        let version = reader.u32()?;
        if !matches!(version, 2 | 3) {
            return Err(reader.damaged(format!("expected GGUF version 2 or 3, found {version}")));
        }
        let (n_tensors, n_keys) = (reader.count(24)?, reader.count(13)?);
        let mut metadata = BTreeMap::new();
        for _ in 0..n_keys {
            let key = reader.text()?;
            let kind = reader.u32()?;
            let value = reader.value(kind, 0)?;
            metadata.insert(key, value);
        }
        let mut table = Vec::new();
        for _ in 0..n_tensors {
            table.push(reader.tensor()?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Int(n)) if *n > 0 && *n % 8 == 0 => n.unsigned_abs(),
            Some(other) => {
                return Err(reader.damaged(format!("alignment must be a multiple of 8, found {other:?}")));
            }
        };
        let data = reader.at.next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, mut info) in table {
            let end = data.checked_add(info.offset).and_then(|start| start.checked_add(info.n_bytes as u64));
            match end {
                Some(end) if end <= len => info.offset += data,
                _ => {
                    let need = info.n_bytes;
                    return Err(reader.damaged(format!(
                        "tensor `{name}` needs {need} bytes at {} of the data, the file has {len} bytes",
                        info.offset
                    )));
                }
            }
            if tensors.insert(name.clone(), info).is_some() {
                return Err(reader.damaged(format!("tensor `{name}` is there twice")));
            }
        }
        Ok(Self { path: path.to_owned(), metadata, tensors })
    }

    /// A text of the metadata.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A whole number of the metadata.
    pub(crate) fn int(&self, key: &str) -> Option<i64> {
        match self.metadata.get(key) {
            Some(Value::Int(n)) => Some(*n),
            _ => None,
        }
    }

    /// A size of the metadata, which must be there.
    pub(crate) fn size(&self, key: &str) -> Result<usize> {
        let size = self.int(key).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        size.ok_or_else(|| self.wrong(key, "a positive whole number"))
    }

    /// A float of the metadata.
    pub(crate) fn float(&self, key: &str) -> Option<f64> {
        match self.metadata.get(key) {
            Some(Value::Float(x)) => Some(*x),
            _ => None,
        }
    }

    /// A flag of the metadata.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.metadata.get(key) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// A list of texts, which must be there.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let Some(Value::List(values)) = self.metadata.get(key) else {
            return Err(self.wrong(key, "a list of texts"));
        };
        let text = values.iter().map(|value| match value {
            Value::Text(text) => Ok(text.as_str()),
            _ => Err(self.wrong(key, "a list of texts")),
        });
        text.collect()
    }

    /// A list of whole numbers, empty when absent.
    pub(crate) fn ints(&self, key: &str) -> Vec<i64> {
        match self.metadata.get(key) {
            Some(Value::List(values)) => {
                values.iter().filter_map(|v| if let Value::Int(n) = v { Some(*n) } else { None }).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A list of floats, empty when absent.
    pub(crate) fn floats(&self, key: &str) -> Vec<f64> {
        match self.metadata.get(key) {
            Some(Value::List(values)) => {
                values.iter().filter_map(|v| if let Value::Float(x) = v { Some(*x) } else { None }).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The numbers of a vector in f32; nothing where there is no such tensor.
    ///
    /// # Errors
    /// It is of another type, or the file cannot be read.
    pub(crate) fn numbers(&self, tensor: &str) -> Result<Option<Vec<f64>>> {
        let Some(info) = self.tensors.get(tensor) else { return Ok(None) };
        if info.dtype != GgmlDType::F32 {
            let (path, found) = (self.path.clone(), format!("{:?}", info.dtype));
            return Err(Error::TensorType { path, tensor: tensor.into(), found });
        }
        let mut file = File::open(&self.path).map_err(Error::io(&self.path))?;
        let bytes = read_at(&mut file, &self.path, info.offset, info.n_bytes)?;
        Ok(Some(bytes.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()))
    }

    pub(crate) fn wrong(&self, key: &str, expected: &str) -> Error {
        Error::GgufMetadata { path: self.path.clone(), key: key.into(), expected: expected.into() }
    }
}

/// Reads little-endian fields and knows how many bytes are left.
struct Reader<'a> {
    path: &'a Path,
    len: u64,
    file: BufReader<File>,
    at: u64,
}

impl Reader<'_> {
    fn damaged(&self, problem: impl Into<String>) -> Error {
        Error::Damaged { path: self.path.to_owned(), problem: problem.into() }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact(buffer).map_err(|_| {
            self.damaged(format!("expected {} bytes at {}, the file has {}", buffer.len(), self.at, self.len))
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut buffer = [0; N];
        self.fill(&mut buffer)?;
        Ok(buffer)
    }

    fn u32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A count of things that take at least `each` bytes, checked against what is left of the file.
    fn count(&mut self, each: u64) -> Result<usize> {
        let count = self.u64()?;
        let left = self.len.saturating_sub(self.at);
        match usize::try_from(count) {
            Ok(n) if count.checked_mul(each).is_some_and(|bytes| bytes <= left) => Ok(n),
            _ => Err(self.damaged(format!(
                "{count} entries of at least {each} bytes at {}, {left} bytes left",
                self.at
            ))),
        }
    }

    fn text(&mut self) -> Result<String> {
        let len = self.count(1)?;
        let mut buffer = vec![0; len];
        self.fill(&mut buffer)?;
        String::from_utf8(buffer)
            .map_err(|_| self.damaged(format!("the text before {} is not UTF-8", self.at)))
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value> {
        Ok(match kind {
            0 => Value::Int(i64::from(u8::from_le_bytes(self.bytes()?))),
            1 => Value::Int(i64::from(i8::from_le_bytes(self.bytes()?))),
            2 => Value::Int(i64::from(u16::from_le_bytes(self.bytes()?))),
            3 => Value::Int(i64::from(i16::from_le_bytes(self.bytes()?))),
            4 => Value::Int(i64::from(self.u32()?)),
            5 => Value::Int(i64::from(i32::from_le_bytes(self.bytes()?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.bytes()?))),
            7 => Value::Bool(self.bytes::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            9 => {
                let inner = self.u32()?;
                // Lists of lists do not occur in model files; the bound keeps a crafted one off the stack.
                if depth > 4 {
                    return Err(self.damaged(format!("lists nested deeper than {depth}")));
                }
                let count = self.count(if matches!(inner, 8 | 9) { 8 } else { 1 })?;
                let values = (0..count).map(|_| self.value(inner, depth + 1));
                Value::List(values.collect::<Result<_>>()?)
            }
            10 => Value::Int(i64::try_from(self.u64()?).unwrap_or(i64::MAX)),
            11 => Value::Int(i64::from_le_bytes(self.bytes()?)),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            other => return Err(self.damaged(format!("unknown type {other} of a value at {}", self.at))),
        })
    }

    fn tensor(&mut self) -> Result<(String, TensorInfo)> {
        let name = self.text()?;
        let n_dims = self.u32()?;
        if n_dims > 4 {
            return Err(self.damaged(format!("tensor `{name}`: expected at most 4 axes, found {n_dims}")));
        }
        let mut shape = Vec::new();
        for _ in 0..n_dims {
            let size = self.u64()?;
            shape.push(usize::try_from(size).unwrap_or(usize::MAX));
        }
        shape.reverse();
        let kind = self.u32()?;
        let offset = self.u64()?;
        let Some(dtype) = ggml_dtype(kind) else {
            let (path, found) = (self.path.to_owned(), format!("GGML type {kind}"));
            return Err(Error::TensorType { path, tensor: name, found });
        };
        let n = shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size));
        let blocks = n.filter(|n| n.is_multiple_of(dtype.block_size())).map(|n| n / dtype.block_size());
        match blocks.and_then(|blocks| blocks.checked_mul(dtype.type_size())) {
            Some(n_bytes) => Ok((name, TensorInfo { shape, dtype, offset, n_bytes })),
            None => {
                Err(self
                    .damaged(format!("tensor `{name}` of shape {shape:?} is not whole blocks of {dtype:?}")))
            }
        }
    }
}

/// Source: `enum ggml_type` of ggml.h.
fn ggml_dtype(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        9 => GgmlDType::Q8_1,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        15 => GgmlDType::Q8K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

/// Reads `n_bytes` at `offset`; the caller has checked both against the file.
pub(crate) fn read_at(file: &mut File, path: &Path, offset: u64, n_bytes: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; n_bytes];
    file.seek(std::io::SeekFrom::Start(offset)).map_err(Error::io(path))?;
    file.read_exact(&mut buffer).map_err(Error::io(path))?;
    Ok(buffer)
}
