//! The one layout of a batch: all rows' tokens in a line, no padding.
//!
//! Everything but attention works on tokens alone, and attention looks up where each row begins and ends. A
//! row's positions are counted from its own first token, so a row in a batch is the row alone. Padded copies
//! exist only inside attention where it is composed of candle's operations (devices, bf16, a look at patterns).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{Device, Tensor};

use crate::cache::Cache;
use crate::kernels::Segment;
use crate::rope::{Angles, Rotary};
use crate::{Error, Result};

/// Tokens of several rows, laid out for one forward pass.
pub(crate) struct Batch {
    /// `[t]`
    pub(crate) ids: Tensor,
    pub(crate) segments: Arc<[Segment]>,
    /// Cosine and sine for every rotary embedding of the model, `[t, d_rotary / 2]`.
    pub(crate) turns: Vec<(Tensor, Tensor)>,
    padded: OnceLock<Padded>,
    /// Masks by window.
    masks: Mutex<BTreeMap<Option<usize>, Tensor>>,
    #[cfg(feature = "flash-attn")]
    ends: OnceLock<Tensor>,
}

/// Where tokens go when every row is padded to the longest.
struct Padded {
    /// Token of each padded query. `[b · q]`
    queries: Tensor,
    /// Token of each padded key. `[b · k]`
    keys: Tensor,
    /// Padded query of each token. `[t]`
    tokens: Tensor,
    shape: (usize, usize, usize),
}

impl Batch {
    /// Rows that start at position 0 and see themselves alone.
    pub(crate) fn new(rows: &[&[u32]], rotary: &[Rotary], device: &Device) -> Result<Self> {
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        Self::build(rows, &vec![0; rows.len()], None, &Angles::new(rotary, longest), device)
    }

    /// The next tokens of rows whose earlier keys and values are in `cache`.
    pub(crate) fn next(rows: &[&[u32]], cache: &Cache, angles: &Angles, device: &Device) -> Result<Self> {
        Self::build(rows, cache.lens(), cache.starts(), angles, device)
    }

    /// `seen` tokens of each row came before; its keys lie from `starts` on, or with its queries where there are
    /// no others.
    fn build(
        rows: &[&[u32]],
        seen: &[usize],
        starts: Option<&[usize]>,
        angles: &Angles,
        device: &Device,
    ) -> Result<Self> {
        let mut end = 0;
        let segment = |(index, (row, seen)): (usize, (&&[u32], &usize))| {
            let q = end..end + row.len();
            end = q.end;
            let start = starts.map_or(if *seen == 0 { q.start } else { 0 }, |starts| starts[index]);
            Segment { q, k: start..start + seen + row.len() }
        };
        let segments: Arc<[Segment]> = rows.iter().zip(seen).enumerate().map(segment).collect();
        let positions = rows.iter().zip(seen).map(|(row, seen)| *seen..seen + row.len());
        let positions: Vec<_> = positions.collect();
        let ids: Vec<u32> = rows.concat();
        let turn = |(cos, sin): (Vec<f32>, Vec<f32>)| {
            let shape = (ids.len(), cos.len() / ids.len().max(1));
            Ok((Tensor::from_vec(cos, shape, device)?, Tensor::from_vec(sin, shape, device)?))
        };
        let turns = angles.at(&positions).map(turn).collect::<Result<_>>()?;
        Ok(Self {
            ids: Tensor::new(ids, device)?,
            segments,
            turns,
            padded: OnceLock::new(),
            masks: Mutex::default(),
            #[cfg(feature = "flash-attn")]
            ends: OnceLock::new(),
        })
    }

    /// Each token's place in its row. `[t]`
    pub(crate) fn positions(&self) -> candle_core::Result<Tensor> {
        let of = |segment: &Segment| segment.k.len() - segment.q.len()..segment.k.len();
        let positions: Vec<u32> = self.segments.iter().flat_map(of).map(|position| position as u32).collect();
        Tensor::new(positions, self.ids.device())
    }

    /// 0, and where each row ends. `[b + 1]`
    #[cfg(feature = "flash-attn")]
    pub(crate) fn ends(&self) -> candle_core::Result<&Tensor> {
        if let Some(ends) = self.ends.get() {
            return Ok(ends);
        }
        let ends = self.segments.iter().map(|segment| segment.q.end as u32);
        let ends: Vec<u32> = std::iter::once(0).chain(ends).collect();
        let ends = Tensor::new(ends, self.ids.device())?;
        Ok(self.ends.get_or_init(|| ends))
    }

    fn padded(&self) -> candle_core::Result<&Padded> {
        if let Some(padded) = self.padded.get() {
            return Ok(padded);
        }
        let longest = |len: fn(&Segment) -> usize| self.segments.iter().map(len).max().unwrap_or(0);
        let (b, q, k) = (self.segments.len(), longest(|s| s.q.len()), longest(|s| s.k.len()));
        let (mut queries, mut keys, mut tokens) = (vec![0; b * q], vec![0; b * k], Vec::new());
        for (row, segment) in self.segments.iter().enumerate() {
            for (i, token) in segment.q.clone().enumerate() {
                queries[row * q + i] = token as u32;
                tokens.push((row * q + i) as u32);
            }
            for (i, token) in segment.k.clone().enumerate() {
                keys[row * k + i] = token as u32;
            }
        }
        let device = self.ids.device();
        let padded = Padded {
            queries: Tensor::new(queries, device)?,
            keys: Tensor::new(keys, device)?,
            tokens: Tensor::new(tokens, device)?,
            shape: (b, q, k),
        };
        Ok(self.padded.get_or_init(|| padded))
    }

    /// `[t, h, e]` → `[b, q, h, e]`; padding repeats the first token.
    pub(crate) fn pad_queries(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let padded = self.padded()?;
        let (b, q, _) = padded.shape;
        let (_, h, e) = x.dims3()?;
        x.contiguous()?.index_select(&padded.queries, 0)?.reshape((b, q, h, e))
    }

    /// `[_, g, e]` → `[b, k, g, e]`; padding repeats the first key.
    pub(crate) fn pad_keys(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let padded = self.padded()?;
        let (b, _, k) = padded.shape;
        let (_, g, e) = x.dims3()?;
        x.contiguous()?.index_select(&padded.keys, 0)?.reshape((b, k, g, e))
    }

    /// `[b, q, h, e]` → `[t, h, e]`.
    pub(crate) fn unpad_queries(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (b, q, h, e) = x.dims4()?;
        x.reshape((b * q, h, e))?.index_select(&self.padded()?.tokens, 0)
    }

    /// 0 where a query sees a key, −inf elsewhere; made once for each window. `[b, 1, q, k]`
    pub(crate) fn mask(&self, window: Option<usize>) -> candle_core::Result<Tensor> {
        let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mask) = masks.get(&window) {
            return Ok(mask.clone());
        }
        let (b, q, k) = self.padded()?.shape;
        let mut mask = vec![f32::NEG_INFINITY; b * q * k];
        for (row, segment) in self.segments.iter().enumerate() {
            for i in 0..segment.q.len() {
                mask[(row * q + i) * k..][..k][segment.seen(i, window)].fill(0.0);
            }
        }
        let mask = Tensor::from_vec(mask, (b, 1, q, k), self.ids.device())?;
        masks.insert(window, mask.clone());
        Ok(mask)
    }
}

/// Refuses rows that a forward pass cannot take.
pub(crate) fn check_row(id: &str, ids: &[u32], config: &crate::Config) -> Result<()> {
    use crate::RowError;
    let problem = match ids.iter().find(|id| **id as usize >= config.d_vocab) {
        _ if ids.is_empty() => RowError::Empty,
        _ if ids.len() > config.n_ctx => RowError::TooLong { found: ids.len(), n_ctx: config.n_ctx },
        Some(id) => RowError::Vocabulary { id: *id, d_vocab: config.d_vocab },
        None => return Ok(()),
    };
    Err(Error::row(id)(problem))
}
