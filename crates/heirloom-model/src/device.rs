//! Where a model computes and in which numbers.

use std::fmt;
use std::str::FromStr;

use candle_core::DType;

use crate::{Error, Result};

/// Where a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor, with rayon's threads.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number; needs the feature `cuda`.
    Cuda(usize),
    /// An Apple GPU; needs the feature `metal`.
    Metal,
}

impl Device {
    pub(crate) fn open(self) -> Result<candle_core::Device> {
        let device = match self {
            Self::Cpu => Ok(candle_core::Device::Cpu),
            Self::Cuda(ordinal) => candle_core::Device::new_cuda(ordinal),
            Self::Metal => candle_core::Device::new_metal(0),
        };
        device.map_err(|source| Error::Device { device: self.to_string(), source: Box::new(source) })
    }

    /// Multiplies two f32 matrices, for a caller who times what the device can do; returns the floating point
    /// operations done.
    pub fn multiply(self) -> Result<f64> {
        let (device, n) = (self.open()?, 768);
        let a = candle_core::Tensor::ones((n, n), DType::F32, &device)?;
        a.matmul(&a)?.sum_all()?.to_scalar::<f32>()?;
        Ok(2.0 * (n as f64).powi(3))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda(ordinal) => f.pad(&format!("cuda:{ordinal}")),
            Self::Metal => f.pad("metal"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::UnknownDevice { name: name.into() };
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => {
                let ordinal = name.strip_prefix("cuda:").ok_or_else(unknown)?;
                ordinal.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

/// The numbers that weights and activations are held in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats; what parity is proved in.
    #[default]
    F32,
    /// Brain floats: 8 bits of precision, the range of f32. Norms, softmax and sums of readouts stay in f32.
    Bf16,
    /// Half floats: 11 bits of precision, overflow beyond 65 504.
    F16,
}

impl Dtype {
    pub(crate) fn candle(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::F32, Self::Bf16, Self::F16]
            .into_iter()
            .find(|dtype| dtype.to_string() == name)
            .ok_or_else(|| Error::UnknownDtype { name: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for name in ["cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(name.parse::<Device>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
        for name in ["gpu", "cuda:", "cuda:x", "CPU"] {
            assert!(name.parse::<Device>().is_err(), "{name}");
        }
        for name in ["f32", "bf16", "f16"] {
            assert_eq!(name.parse::<Dtype>().unwrap().to_string(), name);
        }
        assert!("f64".parse::<Dtype>().is_err());
    }
}
