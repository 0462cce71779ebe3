//! The one layout of a batch: all rows' tokens in a line, no padding.
//!
//! Everything but attention works on tokens alone, and attention looks up where each row begins and ends. A
//! row's positions are counted from its own first token, so a row in a batch is the row alone. Padded copies
//! exist only inside attention where it is composed of candle's operations (devices, bf16, a look at patterns).

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Tensor};

use crate::kernels::Segment;
use crate::{Error, Result, rope};

/// Tokens of several rows, laid out for one forward pass.
pub(crate) struct Batch {
    /// `[t]`
    pub(crate) ids: Tensor,
    pub(crate) segments: Arc<[Segment]>,
    /// `[t, e / 2]`
    pub(crate) cos: Tensor,
    /// `[t, e / 2]`
    pub(crate) sin: Tensor,
    padded: OnceLock<Padded>,
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
    pub(crate) fn new(rows: &[&[u32]], frequencies: &[f32], device: &Device) -> Result<Self> {
        let mut start = 0;
        let segment = |row: &&[u32]| {
            let range = start..start + row.len();
            start = range.end;
            Segment { q: range.clone(), k: range }
        };
        let segments: Arc<[Segment]> = rows.iter().map(segment).collect();
        Self::build(rows, segments, frequencies, device)
    }

    /// The next tokens of rows whose earlier keys and values are in `cache`.
    pub(crate) fn next(rows: &[&[u32]], cache: &Cache, frequencies: &[f32], device: &Device) -> Result<Self> {
        let mut start = 0;
        let segment = |(row, slot): (&&[u32], &Slot)| {
            let q = start..start + row.len();
            start = q.end;
            Segment { q, k: slot.start..slot.start + slot.len + row.len() }
        };
        let segments: Arc<[Segment]> = rows.iter().zip(&cache.slots).map(segment).collect();
        Self::build(rows, segments, frequencies, device)
    }

    fn build(
        rows: &[&[u32]],
        segments: Arc<[Segment]>,
        frequencies: &[f32],
        device: &Device,
    ) -> Result<Self> {
        let ids: Vec<u32> = rows.concat();
        let position = |segment: &Segment| (segment.k.len() - segment.q.len()) as u32..segment.k.len() as u32;
        let positions: Vec<u32> = segments.iter().flat_map(position).collect();
        let (cos, sin) = rope::angles(frequencies, &positions);
        let shape = (ids.len(), frequencies.len());
        Ok(Self {
            ids: Tensor::new(ids, device)?,
            segments,
            cos: Tensor::from_vec(cos, shape, device)?,
            sin: Tensor::from_vec(sin, shape, device)?,
            padded: OnceLock::new(),
        })
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

    /// 0 where a query sees a key, −inf elsewhere. `[b, 1, q, k]`
    pub(crate) fn mask(&self, window: Option<usize>, device: &Device) -> candle_core::Result<Tensor> {
        let (b, q, k) = self.padded()?.shape;
        let mut mask = vec![f32::NEG_INFINITY; b * q * k];
        for (row, segment) in self.segments.iter().enumerate() {
            for i in 0..segment.q.len() {
                mask[(row * q + i) * k..][..k][segment.seen(i, window)].fill(0.0);
            }
        }
        Tensor::from_vec(mask, (b, 1, q, k), device)
    }
}

/// Where one row's keys and values lie in a [`Cache`].
struct Slot {
    start: usize,
    len: usize,
}

/// Keys and values of the tokens that rows have seen, so that a next token costs one token's work.
pub(crate) struct Cache {
    slots: Vec<Slot>,
    /// Per block: keys and values, `[_, g, e]`.
    blocks: Vec<(Tensor, Tensor)>,
}

impl Cache {
    /// Room for `capacities[row]` tokens of every row.
    pub(crate) fn new(
        capacities: &[usize],
        n_layers: usize,
        (g, e): (usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut total = 0;
        let slot = |capacity: &usize| {
            let start = total;
            total += capacity;
            Slot { start, len: 0 }
        };
        let slots: Vec<Slot> = capacities.iter().map(slot).collect();
        let zeros = || Tensor::zeros((total, g, e), dtype, device);
        let blocks = (0..n_layers).map(|_| Ok((zeros()?, zeros()?)));
        Ok(Self { slots, blocks: blocks.collect::<Result<_>>()? })
    }

    /// Writes a batch's new keys and values of one block; returns the block's whole store.
    pub(crate) fn extend(
        &mut self,
        layer: usize,
        k: &Tensor,
        v: &Tensor,
        batch: &Batch,
    ) -> Result<(Tensor, Tensor)> {
        let (keys, values) = &self.blocks[layer];
        let (k, v) = (k.contiguous()?, v.contiguous()?);
        for segment in batch.segments.iter() {
            let (start, len) = (segment.q.start, segment.q.len());
            keys.slice_set(&k.narrow(0, start, len)?, 0, segment.k.end - len)?;
            values.slice_set(&v.narrow(0, start, len)?, 0, segment.k.end - len)?;
        }
        Ok((keys.clone(), values.clone()))
    }

    /// Counts a batch's tokens as seen; to be called once after all blocks.
    pub(crate) fn advance(&mut self, batch: &Batch) {
        for (slot, segment) in self.slots.iter_mut().zip(batch.segments.iter()) {
            slot.len = segment.k.len();
        }
    }

    /// Drops the rows for which `keep` is false; their store stays unused.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.slots.retain(|_| keep.next().copied().unwrap_or(true));
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
